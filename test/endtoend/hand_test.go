package endtoend

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/gobuild"
)

func TestByHand(t *testing.T) {
	t.Parallel()
	onejob = filepath.Join(t.TempDir(), "onejob")
	if err := gobuild.Program(t.Context(), "", onejob, "../../cmd/onejob"); err != nil {
		t.Fatal(err)
	}
	sideBySide(t, handRows)
}

// onejob is the path of the command, as people run it.
var onejob string

// stuck is a template whose pods wait for ever.
const stuck = "nodeSelector: {no: such}"

// missing is an agent container whose image no registry has.
const missing = "{image: '127.0.0.1:1/none/such:1', imagePullPolicy: Always}"

var handRows = []row{
	{
		name: "kjob-deleted-before", pod: stuck, kjobs: 2,
		act: func(s *scene) {
			s.until("a pod", func() bool { return len(s.pods()) == 1 })
			s.deleteKjob(metav1.DeletePropagationBackground)
			s.until("another attempt", func() bool { return s.attempts() == 2 })
			must(s, on.Simulator.CancelJob(s.id))
		},
		page:  []string{"the Kubernetes Job of attempt 1 was deleted before it acquired the job"},
		event: "NewAttempt: the Kubernetes Job of attempt 1 was deleted", metric: "attempt/kubernetes_job_deleted",
	},
	{
		name: "kjob-deleted-running", command: forSleep, retry: "{signal_reason: agent_stop, limit: 1}",
		act:  func(s *scene) { s.started(); s.deleteKjob(metav1.DeletePropagationBackground) },
		exit: "-1", signalReason: "agent_stop", page: []string{"the Kubernetes Job was deleted while the job ran in its pod"},
		event: "JobNotice: the Kubernetes Job was deleted while the job ran in its pod", metric: "none/kubernetes_job_deleted",
	},
	{
		// Its kjob is there as long as its pod is. The deletions of the two come by two
		// watches, in either order: the job takes long enough to stop for both.
		name: "kjob-deleted-in-foreground", command: `trap 'sleep 4; trap - TERM; kill -TERM $$' TERM; echo begun; while :; do sleep 1; done`,
		act:  func(s *scene) { s.started(); s.deleteKjob(metav1.DeletePropagationForeground) },
		exit: "-1", signalReason: "agent_stop", page: []string{"the Kubernetes Job was deleted while the job ran in its pod"},
		event: "JobNotice: the Kubernetes Job was deleted while the job ran in its pod",
	},
	{
		name: "cancel-before", pod: stuck, exit: "-1", signalReason: "stack_error",
		act: func(s *scene) {
			s.until("a kjob", func() bool { return len(s.kjobList()) == 1 })
			s.cli("cancel", "--reason", "wrong branch", s.id)
		},
		page: []string{"cancelled in Kubernetes by root: wrong branch"}, event: "JobFinished: cancelled in Kubernetes by root", metric: "finish/cancelled",
	},
	{
		name: "cancel-running", command: forSleep, exit: "-1", signalReason: "agent_stop",
		act:  func(s *scene) { s.started(); s.cli("cancel", "--reason", "wrong branch", s.id) },
		page: []string{"cancelled in Kubernetes by root: wrong branch"}, event: "Deleted: deleted by onejob: cancelled", metric: "delete/cancelled",
	},
	{
		// The orphan keeps the only slot until it is gone.
		name: "pod-without-kjob", queue: "max-in-flight: 1", command: forSleep, exit: "-1", signalReason: "agent_stop",
		act: func(s *scene) {
			s.started()
			s.deleteKjob(metav1.DeletePropagationOrphan)
			s.until("no kjob", func() bool { return len(s.kjobList()) == 0 })
			if out := s.cli("jobs", "-o", "json"); !strings.Contains(out, "its Kubernetes Job is gone; the pod counts for max-in-flight until it is gone too") || !strings.Contains(out, s.id) {
				s.Errorf("`onejob jobs` says nothing of the orphan:\n%s", out)
			}
			b, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: s.name, Pipeline: []byte("steps: [{command: 'true', env: {BUILDKITE_SKIP_CHECKOUT: 'true'}}]")})
			must(s, err)
			s.polled(10)
			if second, _ := on.Simulator.Job(b.JobIDs[0]); second.State != simulator.StateScheduled {
				s.Errorf("the second job is %s beside an orphan in the only slot", second.State)
			}
			s.delete(s.running(1))
			s.happens("the second job's end", func() bool { b, _ := on.Simulator.Build(b.Number); return b.Done() })
		},
		page:  []string{"the Kubernetes Job was deleted while the job ran in its pod"},
		event: "JobNotice: the Kubernetes Job was deleted while the job ran in its pod", metric: "none/kubernetes_job_deleted",
	},
	{
		name: "cancelled-while-waiting", pod: stuck,
		act: func(s *scene) {
			s.until("a pod", func() bool { return len(s.pods()) == 1 })
			s.removedAfter(func() { must(s, on.Simulator.CancelJob(s.id)) })
		},
		event: "Deleted: deleted by onejob: job_over", metric: "delete/job_over",
	},
	{
		// Its container runs, for the runner waits to be let in.
		name: "cancelled-while-locked", faults: locked,
		act:   func(s *scene) { s.refused(); s.removedAfter(func() { must(s, on.Simulator.CancelJob(s.id)) }) },
		event: "Deleted: deleted by onejob: job_over", metric: "delete/job_over",
	},
	{
		name: "timed-out-while-waiting", pod: stuck,
		act: func(s *scene) {
			s.until("a pod", func() bool { return len(s.pods()) == 1 })
			s.removedAfter(func() { must(s, on.Simulator.TimeOutJob(s.id)) })
		},
		event: "Deleted: deleted by onejob: job_over", metric: "delete/job_over",
	},
	{
		name: "taken-by-another-agent", pod: stuck, exit: "0",
		act: func(s *scene) {
			s.until("a pod", func() bool { return len(s.pods()) == 1 })
			var finish func()
			s.removedAfter(func() { finish = s.take() })
			finish()
		},
		event: "Deleted: deleted by onejob: job_taken", metric: "delete/job_taken",
	},
	{
		// Its pod has a node, and might be the one that has the job.
		name: "taken-while-its-image-is-missing", queue: "image-grace: 10m", agent: missing, exit: "0",
		act: func(s *scene) {
			s.until("a pod whose image is not there", func() bool { return s.waitsFor() == "ImagePullBackOff" })
			finish := s.take()
			s.until("no kjob", func() bool { return len(s.kjobList()) == 0 })
			finish()
		},
		event: "Deleted: deleted by onejob: job_taken", metric: "delete/job_taken",
	},
	{
		name: "build-cancelled-with-many-queued", queue: "max-in-flight: 3", pod: stuck,
		act: func(s *scene) {
			s.until("a kjob", func() bool { return len(s.kjobList()) == 1 })
			b, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: s.name, Pipeline: []byte("steps: [{command: 'true', parallelism: 2000}]")})
			must(s, err)
			only := metav1.ListOptions{LabelSelector: "onejob.dev/queue=" + s.name}
			kjobs := func() int {
				list, err := on.Cluster.Client().BatchV1().Jobs(s.namespace).List(s.ctx, only)
				must(s, err)
				if len(list.Items) > 3 {
					s.Errorf("%d kjobs with max-in-flight 3", len(list.Items))
				}
				return len(list.Items)
			}
			s.until("three kjobs", func() bool { return kjobs() == 3 })
			must(s, on.Simulator.CancelBuild(b.Number))
			must(s, on.Simulator.CancelJob(s.id))
			s.until("no kjob", func() bool { return kjobs() == 0 })
			s.polled(5)
			if n := kjobs(); n != 0 {
				s.Errorf("%d kjobs were made for a cancelled build", n)
			}
		},
		event: "Deleted: deleted by onejob: job_over", metric: "delete/job_over",
	},
	{
		name: "queue-paused", command: forSleep, exit: "-1", signalReason: "cancel",
		act: func(s *scene) {
			s.started()
			must(s, on.Simulator.SetQueuePaused(s.name, true))
			b, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: s.name, Pipeline: []byte("steps: [{command: 'true', env: {BUILDKITE_SKIP_CHECKOUT: 'true'}}]")})
			must(s, err)
			s.polled(10)
			if second, _ := on.Simulator.Job(b.JobIDs[0]); second.State != simulator.StateScheduled {
				s.Errorf("the second job is %s in a paused queue", second.State)
			}
			if st := s.job().State; st != simulator.StateRunning {
				s.Errorf("what ran is %s", st)
			}
			s.until("the metric says that the queue is paused", func() bool { return s.measured("onejob_queue_paused", "queue", s.name) })
			must(s, on.Simulator.CancelJob(s.id))
			must(s, on.Simulator.SetQueuePaused(s.name, false))
			s.happens("the second job's end", func() bool { b, _ := on.Simulator.Build(b.Number); return b.Done() })
		},
		metric: "none/finished",
	},
}

func (s *scene) deleteKjob(how metav1.DeletionPropagation) {
	must(s, on.Cluster.Client().BatchV1().Jobs(s.namespace).Delete(s.ctx, s.kjobList()[0].Name, metav1.DeleteOptions{PropagationPolicy: &how}))
}

// cli runs `onejob` with an admin's kubeconfig.
func (s *scene) cli(args ...string) string {
	s.Helper()
	args = append([]string{args[0], "--kubeconfig", on.Cluster.KubeconfigPath, "--namespace", s.namespace}, args[1:]...)
	out, err := exec.CommandContext(s.ctx, onejob, args...).CombinedOutput()
	if err != nil {
		s.Fatalf("onejob %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// polled returns when the scheduler has asked for the queue's jobs n times more.
func (s *scene) polled(n int) {
	s.Helper()
	asked := func() (n int) {
		for _, line := range strings.Split(s.metrics(), "\n") {
			if strings.HasPrefix(line, `onejob_buildkite_requests_total{endpoint="list",queue="`+s.name+`",status="200"} `) {
				fmt.Sscan(line[strings.LastIndexByte(line, ' '):], &n)
			}
		}
		return n
	}
	before := asked()
	s.until("more polls", func() bool { return asked() >= before+n })
}

// removedAfter makes a change at Buildkite and waits until the waiting job's kjob
// is gone: after the first answer about the job's state, or the second where the
// API server is slow; when the kjob is gone there is one more. That the first one
// comes within five seconds is seen by the lists of scheduled jobs before it, of
// which a queue with news is asked five a second.
func (s *scene) removedAfter(change func()) {
	s.Helper()
	calls := "/stacks/" + s.job().ReservedBy + "/"
	change()
	s.until("no kjob", func() bool { return len(s.kjobList()) == 0 })
	gone, j := time.Now(), s.job()
	changed := j.FinishedAt
	if changed.IsZero() {
		changed = j.AcquiredAt
	}
	lists, states := 0, 0
	for _, r := range on.Simulator.Requests() {
		switch {
		case !strings.Contains(r.Path, calls) || r.Time.Before(changed):
		case r.Endpoint == "stacks_list" && states == 0:
			lists++
		case r.Endpoint == "stacks_states":
			states++
		}
	}
	if states > 3 || lists > 5*5 {
		s.Errorf("the kjob went with %d answers about its job's state, the first of them after %d lists; want at most 3 and 25", states, lists)
	}
	s.Logf("the kjob was gone %s after the job was %s: %d lists, %d states", gone.Sub(changed).Round(100*time.Millisecond), j.State, lists, states)
}

// take acquires the job as an agent that somebody started elsewhere.
func (s *scene) take() (finish func()) {
	call := func(method, path, token string, in any) map[string]any {
		body, err := json.Marshal(in)
		must(s, err)
		req, err := http.NewRequestWithContext(s.ctx, method, on.URL+"v3/"+path, bytes.NewReader(body))
		must(s, err)
		req.Header.Set("Authorization", "Token "+token)
		resp, err := http.DefaultClient.Do(req)
		must(s, err)
		defer resp.Body.Close()
		if resp.StatusCode >= 300 {
			s.Fatalf("%s: %s", path, resp.Status)
		}
		out := map[string]any{}
		_ = json.NewDecoder(resp.Body).Decode(&out) // some replies are empty
		return out
	}
	session := call("POST", "register", simulator.DefaultAgentToken, map[string]any{"name": "another", "meta_data": []string{"queue=" + s.name}, "ignore_in_dispatches": true})["access_token"].(string)
	call("POST", "connect", session, nil)
	token := call("PUT", "jobs/"+s.id+"/acquire", session, nil)["token"].(string)
	call("PUT", "jobs/"+s.id+"/start", token, map[string]any{"started_at": "2026-01-01T00:00:00Z"})
	return func() {
		call("PUT", "jobs/"+s.id+"/finish", token, map[string]any{"exit_status": "0", "finished_at": "2026-01-01T00:00:01Z", "chunks_failed_count": 0})
		call("POST", "disconnect", session, nil)
	}
}
