package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/gobuild"
)

// trusted is a queue whose template takes a Secret's name from the pipeline.
const trusted = `- name: trusted
  max-in-flight: 8
  trusted-pipelines: true
  template:
    inline:
      apiVersion: batch/v1
      kind: Job
      spec:
        ttlSecondsAfterFinished: 20
        template:
          spec:
            containers: [{name: agent, image: localhost/onejob-agent:dev, imagePullPolicy: Never, envFrom: [{secretRef: {name: "{{env.SECRETS}}"}}], resources: {requests: {cpu: 10m, memory: 32Mi}}}]
`

// noCheckout is the environment of a job without a repository.
func noCheckout(more ...string) map[string]string {
	env := map[string]string{"BUILDKITE_SKIP_CHECKOUT": "true"}
	for i := 0; i < len(more); i += 2 {
		env[more[i]] = more[i+1]
	}
	return env
}

// TestTemplateCannotGiveTheToken: a queue whose template would let a pipeline take
// the token is refused; where an operator trusts pipelines, one that names the
// token's Secret is finished with the reason, and another Secret is the job's.
func TestTemplateCannotGiveTheToken(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	sim, kube := on.Simulator, on.Cluster.Client()
	registered := sim.Count("stacks_register")
	s := scheduler.New(scheduler.Options{
		Kube: kube, Version: "test", Token: stacks.Token(simulator.DefaultAgentToken),
		Load: func() (*config.Config, error) {
			return config.Parse([]byte("endpoint: "+on.URL+"v3\nqueues:\n- name: leaky\n  template: {inline: {spec: {containers: [{name: agent, image: 'x:{{env.TAG}}'}]}}}\n"), fixture.Namespace)
		},
	})
	sctx, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Run(sctx) }()
	leaky := create(t, simulator.BuildRequest{Queue: "leaky", Env: noCheckout("TAG", "evil")}, map[string]any{"command": "true"})
	until(t, ctx, "an Event that says why the queue is refused", func() bool {
		events, err := kube.CoreV1().Events(fixture.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "reason=TemplateInvalid,involvedObject.name=onejob-queue-leaky"})
		return err == nil && len(events.Items) > 0 && strings.Contains(events.Items[0].Message, "trusted-pipelines")
	})

	if _, err := kube.CoreV1().Secrets(fixture.Namespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "database"}, StringData: map[string]string{"DATABASE": "a-word"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	build := create(t, simulator.BuildRequest{Queue: "trusted"},
		map[string]any{"command": "env", "env": noCheckout("SECRETS", "onejob-agent-token")},
		map[string]any{"command": "test $DATABASE = a-word", "env": noCheckout("SECRETS", "database")})
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	if job, _ := sim.Job(build.JobIDs[0]); job.StackFinish == nil || !strings.Contains(job.StackFinish.Detail, "the Secret onejob-agent-token has the agent token in it") || !job.StartedAt.IsZero() {
		t.Errorf("a job that names the token's Secret ended as %+v", job)
	}
	if job, _ := sim.Job(build.JobIDs[1]); job.ExitStatus != "0" {
		t.Errorf("a job that names another Secret ended with %q", job.ExitStatus)
	}

	if n := sim.Count("stacks_register") - registered; n > 0 {
		t.Errorf("the refused queue was registered %d times", n)
	}
	if job, _ := sim.Job(leaky.JobIDs[0]); job.State != simulator.StateScheduled {
		t.Errorf("the refused queue's job is %s", job.State)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the scheduler of the refused queue ended with: %v", err)
	}
	if err := sim.CancelBuild(leaky.Number); err != nil {
		t.Error(err)
	}
	settled(t)
}

// What a terminal, or a database, would take for something else than text.
const (
	clipboard = `\033[2J\033]52;c;Y3VybCBldmlsfHNo\007`
	escaped   = `\\u0000\\u001b[2J\\u001b]52;c;Y3VybCBldmlsfHNo\\u0007`
)

// TestJobsForgeTheirEnd: jobs write what no reader and no database can take where
// their runner leaves its message, and kill it. What became of another job is
// still told, and nothing that anybody reads or prints holds a command.
func TestJobsForgeTheirEnd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	sim := on.Simulator
	rails := sim.AddFault(simulator.Fault{Endpoint: "stacks/*", Contains: `\u0000`, Status: 500})
	defer sim.RemoveFault(rails)
	forges := func(text string) string { return "printf '" + text + "' > /dev/termination-log; kill -9 -1" }
	forged := create(t, simulator.BuildRequest{Env: noCheckout()},
		map[string]any{"command": forges(`{"contract":1,"outcome":"rejected","exit_code":27,"reason":"forged` + escaped + `"}`)},
		map[string]any{"command": forges(`{"contract":1,"outcome":"forged` + escaped + `","exit_code":70}`)},
		map[string]any{"command": forges(`forged\000` + clipboard)})
	began := func(id string) bool { job, _ := sim.Job(id); return !job.StartedAt.IsZero() }
	until(t, ctx, "all forgers running", func() bool { return !slices.ContainsFunc(forged.JobIDs, func(id string) bool { return !began(id) }) })
	other := create(t, simulator.BuildRequest{Env: noCheckout()}, map[string]any{"command": "kill -9 -1"})
	told := func(id string) (lines []string) {
		job, _ := sim.Job(id)
		for _, n := range job.Notifications {
			lines = append(lines, n.Detail)
		}
		if job.StackFinish != nil {
			lines = append(lines, job.StackFinish.Detail)
		}
		return lines
	}
	events := func(id string) (lines []string) {
		l, err := on.Cluster.Client().CoreV1().Events(fixture.Namespace).List(ctx, metav1.ListOptions{FieldSelector: "source=onejob,involvedObject.name=onejob-" + id})
		if err != nil {
			t.Error(err)
		}
		for _, e := range l.Items {
			lines = append(lines, e.Reason+": "+e.Message)
		}
		return lines
	}
	all := append(slices.Clone(forged.JobIDs), other.JobIDs...)
	for _, id := range slices.Backward(all) { // the other's first
		until(t, ctx, "the page and an Event of "+id, func() bool { return len(told(id)) > 0 && len(events(id)) > 0 })
	}
	program := filepath.Join(t.TempDir(), "onejob")
	if err := gobuild.Program(ctx, filepath.Join("..", ".."), program, "./cmd/onejob"); err != nil {
		t.Fatal(err)
	}
	printed := prints(t, ctx, program, "jobs")
	for _, id := range all {
		story := prints(t, ctx, program, "explain", id)
		if !bytes.Contains(printed, []byte(id)) || !bytes.Contains(story, []byte(id)) {
			t.Errorf("%s is not printed:\n%s\n%s", id, printed, story)
		}
		printed = append(printed, story...)
		for _, line := range append(told(id), events(id)...) {
			printable(t, line)
			printed = append(printed, line+"\n"...)
		}
	}
	if n := bytes.Count(printed, []byte("forged")); n < 3 {
		t.Errorf("the forgers' words are there %d times in\n%s", n, printed)
	}
	for line := range strings.SplitSeq(string(printed), "\n") {
		printable(t, line)
	}
	for _, id := range all {
		if job, _ := sim.Job(id); !job.State.Terminal() {
			if err := sim.LoseAgent(job.AgentID); err != nil {
				t.Error(err)
			}
		}
	}
	if err := sim.Wait(ctx, func() bool {
		f, _ := sim.Build(forged.Number)
		o, _ := sim.Build(other.Number)
		return f.Done() && o.Done()
	}); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	if n := sim.FaultCount(rails); n > 0 {
		t.Errorf("%d requests held a NUL", n)
	}
	settled(t)
}

// printable wants one line of printable text.
func printable(t *testing.T, line string) {
	t.Helper()
	if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) && r != ' ' }); i >= 0 || strings.ToValidUTF8(line, "") != line {
		t.Errorf("not printable: %q", line)
	}
}

// prints runs the command as a person does, beside the cluster, and returns all
// that it prints.
func prints(t *testing.T, ctx context.Context, program string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(ctx, program, append(args, "--kubeconfig", on.Cluster.KubeconfigPath, "--namespace", fixture.Namespace)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("onejob %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// holds opens connections to the scheduler's port, as many as it is told, uses
// each, and says how many of them are still answered when all are open; then it
// goes on opening and asking until it is told to end.
const holds = `trap '' PIPE
ask() { printf 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n' >&$1; } 2>/dev/null
all=()
for i in $(seq $HOLD); do exec {f}<>/dev/tcp/$HOST/8080 && all+=($f) && ask $f || true; done
sleep 1
open=0
for f in ${all[@]}; do
  while read -r -t 0.01 -u $f _; do :; done
  ask $f && read -r -t 1 -u $f _ status _ && test "$status" = 200 && open=$((open+1)) || true
done
echo "of ${#all[@]} connections $open are open"
buildkite-agent meta-data set held yes
for i in $(seq 10); do for j in $(seq 50); do (exec {f}<>/dev/tcp/$HOST/8080; printf 'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n' >&$f; sleep 1) & done 2>/dev/null; wait; done
`

// TestJobHoldsThePort: a job that opens hundreds of connections to a scheduler,
// which no NetworkPolicy keeps it from here, keeps neither probes nor people out,
// and the scheduler goes on.
func TestJobHoldsThePort(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	sim := on.Simulator
	before := schedulers(t, ctx)
	victim := before[0]
	memory := resident(t, victim)
	build := create(t, simulator.BuildRequest{Env: noCheckout("HOLD", "600", "HOST", victim.Status.PodIP)}, map[string]any{"command": holds})
	id := build.JobIDs[0]
	asked, slowest := 0, time.Duration(0)
	over := func() bool { b, _ := sim.Build(build.Number); return b.Done() }
	for !over() && ctx.Err() == nil {
		began := time.Now()
		for _, path := range []string{"/healthz", "/readyz"} {
			if err := probe(ctx, victim.Status.PodIP, path); err != nil {
				t.Errorf("a probe of %s: %v", path, err)
			}
		}
		asked, slowest = asked+1, max(slowest, time.Since(began))
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := sim.Log(id)
	m := regexp.MustCompile(`of (\d+) connections (\d+) are open`).FindSubmatch(log)
	if m == nil {
		t.Fatalf("the job's log:\n%s", log)
	}
	opened, _ := strconv.Atoi(string(m[1]))
	open, _ := strconv.Atoi(string(m[2]))
	if opened < 500 || open < 1 || open > 128 {
		t.Errorf("%s; want 600, and at most 128", m[0])
	}
	if job, _ := sim.Job(id); job.ExitStatus != "0" || asked < 20 {
		t.Errorf("the job ended with %q, after %d probes\n%s", job.ExitStatus, asked, log)
	}
	grown := resident(t, victim) - memory
	if grown > 64<<20 {
		t.Errorf("the scheduler's memory grew by %d bytes", grown)
	}
	t.Logf("%s; the slowest of %d probes of two paths took %s; %d kB more memory", m[0], asked, slowest, grown>>10)
	for i, p := range schedulers(t, ctx) {
		if p.UID != before[i].UID || p.Status.ContainerStatuses[0].RestartCount != before[i].Status.ContainerStatuses[0].RestartCount {
			t.Errorf("the scheduler %s was restarted", p.Name)
		}
	}
	settled(t)
}

func schedulers(t *testing.T, ctx context.Context) []corev1.Pod {
	t.Helper()
	l, err := on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=scheduler"})
	if err != nil || len(l.Items) != 2 {
		t.Fatalf("%d schedulers, %v", len(l.Items), err)
	}
	return l.Items
}

// resident is how much memory a scheduler has, in bytes.
func resident(t *testing.T, p corev1.Pod) int {
	t.Helper()
	all, err := on.Cluster.PodProcesses(p.UID)
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range all {
		if filepath.Base(process.Argv[0]) != "onejob" {
			continue
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", process.PID))
		if fields := strings.Fields(string(b)); err == nil && len(fields) > 1 {
			pages, _ := strconv.Atoi(fields[1])
			return pages * os.Getpagesize()
		}
	}
	t.Fatalf("%s runs no scheduler", p.Name)
	return 0
}

// probe asks as the kubelet does: by a connection of its own, within a second.
func probe(ctx context.Context, ip, path string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(ip, "8080")+path, http.NoBody)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	return nil
}

// until waits for cond.
func until(t *testing.T, ctx context.Context, what string, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("not there: %s\n%s", what, table())
		case <-time.After(200 * time.Millisecond):
		}
	}
}
