package endtoend

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/kueuebin"
)

// TestKueue: Kueue itself holds the Jobs back. What it does is imitated by hand in
// TestNeverStarted/suspended-….
func TestKueue(t *testing.T) {
	t.Parallel()
	sideBySide(t, kueueRows)
}

// under is a template's metadata and Job spec that put its Jobs into a queue of Kueue.
func under(queue, priority string) (metadata, job string) {
	return "labels: {kueue.x-k8s.io/queue-name: " + queue + ", kueue.x-k8s.io/priority-class: " + priority + "}", "suspend: true"
}

func kueueRow(queue string, r row) row {
	r.namespace = "rows-kueue"
	r.metadata, r.job = under(queue, "low")
	return r
}

// noRoom is what Kueue says of a Workload that finds no room for its pod.
const noRoom = "Kueue: couldn't assign flavors to pod set main: insufficient unused quota for pods in flavor any, 1 more needed"

var kueueRows = []row{
	kueueRow("room-for-one", row{
		// Another's job has the only room for longer than a pod may take to start.
		name: "kueue-full", queue: "{pending-timeout: 20s, max-attempts: 1}", exit: "0", kjobs: 1,
		before: func(s *scene) { s.ahead = s.another(s.name, untilTold); s.runs(s.ahead) },
		act: func(s *scene) {
			s.told("waiting to start: the Kubernetes Job is suspended and waits to be admitted: " + noRoom)
			s.until("longer than its pod may take to start", func() bool { return time.Since(s.kjobList()[0].CreationTimestamp.Time) > 40*time.Second })
			s.until("the job is reserved while it waits", func() bool {
				j := s.job()
				return j.State == simulator.StateReserved && j.ReservedUntil.After(time.Now())
			})
			if f := s.job().StackFinish; f != nil {
				s.Errorf("the stack finished the job while it waits: %+v", f)
			}
			close(at.of(s.ahead))
		},
		event: "JobWaiting: waiting to start: the Kubernetes Job is suspended and waits to be admitted", metric: "none/finished",
	}),
	kueueRow("no-room", row{
		name: "kueue-cancelled",
		act: func(s *scene) {
			s.told("waits to be admitted: Kueue: ")
			s.removedAfter(func() { must(s, on.Simulator.CancelJob(s.id)) })
			s.until("Kueue has forgotten it", func() bool { return s.workloads() == 0 })
		},
		event: "Deleted: deleted by onejob: job_over", metric: "delete/job_over",
	}),
	kueueRow("no-room", row{
		name: "kueue-suspended-timeout", queue: "{pending-timeout: 5s, suspended-timeout: 50s}", exit: "-1", signalReason: "stack_error", kjobs: 1,
		page:  []string{"Kubernetes did not admit the pod within 50s (suspended-timeout): the Kubernetes Job is suspended and waits to be admitted: Kueue: "},
		event: "JobFinished: Kubernetes did not admit the pod within 50s (suspended-timeout)", metric: "finish/suspended",
	}),
	kueueRow("waiting", row{
		// It has one attempt, and needs two Jobs: the first one wasn't a try.
		name: "kueue-preempted-waiting", queue: "max-attempts: 1", faults: locked, exit: "0", kjobs: 2,
		act: func(s *scene) {
			s.refused()
			s.running(1)
			s.preempted("kueue-urgent-waiting")
			s.unlockAfter(1)
		},
		page:  []string{"the Kubernetes Job was suspended after its pod was created; onejob deletes it, because resuming it would start a second pod"},
		event: "Deleted: deleted by onejob: suspended", metric: "delete/suspended",
	}),
	kueueRow("running", row{
		// Its command was under way: whether it is tried again is for the step to say.
		name: "kueue-preempted-running", command: forSleep, retry: "{signal_reason: agent_stop, limit: 1}", exit: "-1", signalReason: "agent_stop", kjobs: 1,
		act: func(s *scene) {
			s.started()
			s.preempted("kueue-urgent-running")
			s.happens("it has run again", func() bool { j, _ := on.Simulator.Job(s.job().RetriedBy); return j.Passed })
		},
		page: []string{"the Kubernetes Job was "}, // suspended; deleted
	}),
}

// urgentRows are the queues whose jobs preempt those of a row; they are no tests.
var urgentRows = func() (rows []row) {
	for _, queue := range []string{"waiting", "running"} {
		r := kueueRow(queue, row{name: "kueue-urgent-" + queue})
		r.metadata, r.job = under(queue, "urgent")
		rows = append(rows, r)
	}
	return rows
}()

// another makes a build of one job, and returns the job's ID.
func (s *scene) another(queue, command string) string {
	s.Helper()
	command = strings.ReplaceAll(command, "GATE", at.path())
	b, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: queue, Pipeline: fmt.Appendf(nil, `{"steps": [{"command": %q, "env": {"BUILDKITE_SKIP_CHECKOUT": "true"}}]}`, command)})
	must(s, err)
	return b.JobIDs[0]
}

func (s *scene) runs(id string) {
	s.Helper()
	s.happens("job "+id+" runs", func() bool { j, _ := on.Simulator.Job(id); return j.State == simulator.StateRunning })
}

// preempted returns when a job of an urgent queue has run in this one's room.
func (s *scene) preempted(by string) {
	s.Helper()
	urgent := s.another(by, "true")
	s.happens("the urgent job is done", func() bool { j, _ := on.Simulator.Job(urgent); return j.State == simulator.StateFinished && j.Passed })
}

// workloads counts what Kueue keeps of the row's queue.
func (s *scene) workloads() (n int) {
	client, err := dynamic.NewForConfig(on.Cluster.RESTConfig())
	must(s, err)
	list, err := client.Resource(schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2", Resource: "workloads"}).Namespace(s.namespace).List(s.ctx, metav1.ListOptions{})
	must(s, err)
	for _, w := range list.Items {
		for _, owner := range w.GetOwnerReferences() {
			if id, _, ok := contract.ParseKjobName(owner.Name); ok && id.String() == s.id {
				n++
			}
		}
	}
	return n
}

// wanted reports whether go test -run has a test run.
func wanted(test string) bool {
	pattern, _, _ := strings.Cut(flag.Lookup("test.run").Value.String(), "/")
	found, err := regexp.MatchString(pattern, test)
	return err != nil || found
}

// kueueLives is Kueue's input, at whose end it ends: with this process.
var kueueLives io.WriteCloser

// startKueue makes Kueue known to the API server, with its queues, and starts it. That
// comes before the first suspended Job: a scheduler that found no Kueue looks again
// after five minutes.
func startKueue(ctx context.Context, program string) error {
	resources, err := kueuebin.Resources(ctx)
	if err != nil {
		return err
	}
	if err := on.Apply(ctx, resources, ""); err != nil {
		return err
	}
	if err := workloadsServed(ctx); err != nil {
		return err
	}
	if err := on.Apply(ctx, filepath.Join("testdata", "kueue"), "rows-kueue"); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(on.Cluster.LogDir, "kueue.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program, "--kubeconfig", on.Cluster.KubeconfigPath)
	cmd.Stdout, cmd.Stderr = log, log
	if kueueLives, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	return mayListWorkloads(ctx)
}

// workloadsServed waits until the API server serves all of Kueue's kinds, which is a
// moment after it has accepted them.
func workloadsServed(ctx context.Context) error {
	client, err := dynamic.NewForConfig(on.Cluster.RESTConfig())
	if err != nil {
		return err
	}
	for _, kind := range []string{"workloads", "resourceflavors", "clusterqueues", "localqueues", "workloadpriorityclasses", "admissionchecks", "cohorts", "topologies"} {
		for {
			_, err := client.Resource(schema.GroupVersionResource{Group: "kueue.x-k8s.io", Version: "v1beta2", Resource: kind}).List(ctx, metav1.ListOptions{})
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("waiting for Kueue's %s to be served: %w", kind, err)
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

// mayListWorkloads gives the scheduler the right that docs/configuration.md names.
func mayListWorkloads(ctx context.Context) error {
	rbac, meta := on.Cluster.Client().RbacV1(), metav1.ObjectMeta{Name: "onejob-kueue"}
	_, err := rbac.Roles("rows-kueue").Create(ctx, &rbacv1.Role{
		ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"kueue.x-k8s.io"}, Resources: []string{"workloads"}, Verbs: []string{"list"}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = rbac.RoleBindings("rows-kueue").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "onejob", Namespace: fixture.Namespace}},
	}, metav1.CreateOptions{})
	return err
}
