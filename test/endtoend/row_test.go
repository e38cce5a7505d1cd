package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
)

// row is one line of the table in doc.go: what goes wrong with a job, and what
// its reader must be told. It has a queue of its own, named after it.
type row struct {
	name      string
	namespace string // of its queue; empty: the scheduler's
	// queue, metadata, job, pod and agent are YAML: the queue's settings, the Job's
	// metadata, and what is merged over the test's Job spec, pod spec and agent
	// container.
	queue, metadata, job, pod, agent string
	// command is the job's; empty: it passes at once. retry is its rule.
	command, retry string
	// image is the step's.
	image string
	// hold is the step's ONEJOB_HOLD.
	hold string
	// finishHeld: in this queue Buildkite lets a stack finish held jobs.
	finishHeld bool
	// faults are for calls about this job, from its first moment on.
	faults []simulator.Fault
	// before is for what must be there when the job is scheduled.
	before func(*scene)
	// act does what goes wrong, once the job is scheduled; nil: nothing more is
	// needed.
	act func(*scene)

	exit, signalReason string   // of the first job
	page               []string // on the first job's page, in notifications or the finish's detail
	event              string   // "Reason: words" of an Event on a kjob of the job
	metric             string   // "action/reason" of onejob_decisions_total, in the row's queue
	kjobs              int      // how many the first job had; 0: not looked at
}

// all are the rows of every file.
func all() []row {
	var rows []row
	for _, list := range [][]row{lostRows, startRows, admissionRows, handRows, runnerRows, nodeRows, drainRows, warmRows, offerRows, besideRows, kueueRows, traceRows} {
		rows = append(rows, list...)
	}
	return rows
}

// base is what every template here begins with: little, and quick to go.
const base = `
ttlSecondsAfterFinished: 600
template:
  spec:
    terminationGracePeriodSeconds: 15
    tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists}]
    nodeSelector: {kubernetes.io/hostname: node-0}
    containers:
    - name: agent
      image: localhost/onejob-agent:dev
      imagePullPolicy: Never
      resources: {requests: {cpu: 5m, memory: 16Mi}}
`

func (r row) queueConfig() map[string]any {
	spec, settings := parse(base), parse(r.queue)
	podSpec := spec["template"].(map[string]any)["spec"].(map[string]any)
	agent := podSpec["containers"].([]any)[0].(map[string]any)
	for to, text := range map[*map[string]any]string{&spec: r.job, &podSpec: r.pod, &agent: r.agent} {
		for k, v := range parse(text) {
			(*to)[k] = v
		}
	}
	settings["name"] = r.name
	if r.finishHeld {
		settings["lost-jobs"] = "finish"
	}
	if r.namespace != "" {
		settings["namespace"] = r.namespace
	}
	settings["template"] = map[string]any{"inline": map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": parse(r.metadata), "spec": spec}}
	return settings
}

func parse(text string) map[string]any {
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		panic(fmt.Sprintf("%v in %s", err, text))
	}
	return m
}

// scene is a row while it happens.
type scene struct {
	*testing.T
	row
	ctx   context.Context
	build int
	id    string   // of the first job
	fault []string // of row.faults

	placeholder corev1.Pod // of a row about warm capacity
	ahead       string     // the job in whose room this one waits
	telling     bool       // its story
}

// sideBySide runs rows, and all tests that do so, side by side.
func sideBySide(t *testing.T, rows []row) {
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
			defer cancel()
			s := &scene{T: t, row: r, ctx: ctx}
			if s.namespace == "" {
				s.namespace = fixture.Namespace
			}
			if r.before != nil {
				r.before(s)
			}
			s.begin()
			if r.act != nil {
				r.act(s)
			}
			s.check()
		})
	}
}

// beginning are the rows whose pods are about to start. A small machine takes half
// a minute to start all of them at once, which is longer than some rows' times.
var beginning = make(chan struct{}, 8)

// begin schedules the job when there is room, and makes room when a kubelet has
// looked at its pod, or after a while: some rows' pods never get that far.
func (s *scene) begin() {
	beginning <- struct{}{}
	go func() {
		defer func() { <-beginning }()
		ctx, cancel := context.WithTimeout(s.ctx, 15*time.Second)
		defer cancel()
		for ctx.Err() == nil {
			list, err := on.Cluster.Client().CoreV1().Pods(s.namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelQueue + "=" + s.name})
			if err == nil && slices.ContainsFunc(list.Items, func(p corev1.Pod) bool { return len(p.Status.ContainerStatuses) > 0 }) {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
	}()
	s.schedule()
}

// schedule makes the build; nobody sees its job before its faults are there.
func (s *scene) schedule() {
	sim := on.Simulator
	must(s, sim.SetQueuePaused(s.name, true))
	command := s.command
	if command == "" {
		command = "echo made it"
	}
	step := map[string]any{"command": strings.ReplaceAll(command, "GATE", at.path()), "agents": map[string]any{"queue": s.name}, "env": map[string]any{"BUILDKITE_SKIP_CHECKOUT": "true"}}
	if s.hold != "" {
		step["env"].(map[string]any)["ONEJOB_HOLD"] = s.hold
	}
	if s.image != "" {
		step["image"] = s.image
	}
	if s.retry != "" {
		step["retry"] = map[string]any{"automatic": []any{parse(s.retry)}}
	}
	pipeline, err := yaml.Marshal(map[string]any{"steps": []any{step}})
	must(s, err)
	b, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: pipeline, Message: s.name})
	must(s, err)
	s.build, s.id = b.Number, b.JobIDs[0]
	for _, f := range s.faults {
		f.JobID = s.id
		s.fault = append(s.fault, sim.AddFault(f))
	}
	must(s, sim.SetQueuePaused(s.name, false))
}

// done: the build has ended.
func (s *scene) done() bool { b, _ := on.Simulator.Build(s.build); return b.Done() }

// unlock ends the faults.
func (s *scene) unlock() {
	for _, f := range s.fault {
		on.Simulator.RemoveFault(f)
	}
}

// must go well; what fails as the row's time ends fails of that.
func must(s *scene, err error) {
	s.Helper()
	switch {
	case err != nil && s.ctx.Err() != nil && !s.telling:
		s.Fatalf("%v\n%s", err, s.story())
	case err != nil:
		s.Fatal(err)
	}
}

// until waits for something in the cluster.
func (s *scene) until(what string, done func() bool) {
	s.Helper()
	for !done() {
		select {
		case <-s.ctx.Done():
			s.Fatalf("never: %s\n%s", what, s.story())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// happens waits for something at Buildkite.
func (s *scene) happens(what string, cond func() bool) {
	s.Helper()
	if err := on.Simulator.Wait(s.ctx, cond); err != nil {
		s.Fatalf("never: %s\n%s", what, s.story())
	}
}

// started waits until the job runs.
func (s *scene) started() {
	s.Helper()
	s.happens("the job runs", func() bool { return s.job().State == simulator.StateRunning })
	s.happens("its command's first words", func() bool { log, _ := on.Simulator.Log(s.id); return bytes.Contains(log, []byte("begun")) })
}

// refused waits until a runner was kept from the job by the first fault.
func (s *scene) refused() {
	s.Helper()
	s.happens("a runner asks for the job", func() bool { return on.Simulator.FaultCount(s.fault[0]) > 0 })
}

// told waits until the job's page has words.
func (s *scene) told(words string) {
	s.Helper()
	s.happens("the page says "+words, func() bool { return strings.Contains(s.says(), words) })
}

func (s *scene) job() simulator.Job { j, _ := on.Simulator.Job(s.id); return j }

// says is all that the job's page says of Kubernetes.
func (s *scene) says() string {
	var b strings.Builder
	j := s.job()
	for _, n := range j.Notifications {
		b.WriteString(n.Detail + "\n")
	}
	if j.StackFinish != nil {
		b.WriteString(j.StackFinish.Detail + "\n")
	}
	return b.String()
}

func (s *scene) only() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + s.id}
}

func (s *scene) kjobList() []batchv1.Job {
	list, err := on.Cluster.Client().BatchV1().Jobs(s.namespace).List(s.ctx, s.only())
	must(s, err)
	return list.Items
}

func (s *scene) pods() []corev1.Pod {
	list, err := on.Cluster.Client().CoreV1().Pods(s.namespace).List(s.ctx, s.only())
	must(s, err)
	return list.Items
}

// pod waits for a pod of the attempt that runs.
func (s *scene) running(attempt int) (p corev1.Pod) {
	s.Helper()
	s.until(fmt.Sprintf("a running pod of attempt %d", attempt), func() bool {
		for _, p = range s.pods() {
			if p.Labels[contract.LabelAttempt] == fmt.Sprint(attempt) && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				return true
			}
		}
		return false
	})
	return p
}

// over waits until an attempt's kjob is finished.
func (s *scene) over(attempt int) {
	s.Helper()
	s.until(fmt.Sprintf("the kjob of attempt %d is finished", attempt), func() bool {
		return slices.ContainsFunc(s.kjobList(), func(k batchv1.Job) bool {
			return k.Labels[contract.LabelAttempt] == fmt.Sprint(attempt) && slices.ContainsFunc(k.Status.Conditions, func(c batchv1.JobCondition) bool {
				return c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed
			})
		})
	})
}

// check waits for the build's end and compares what everybody was told.
func (s *scene) check() {
	s.Helper()
	s.happens("the build ends", s.done)
	for _, words := range s.page {
		s.told(words)
	}
	j := s.job()
	if j.ExitStatus != s.exit || j.SignalReason != s.signalReason {
		s.Errorf("the job ended with %q %q, want %q %q\n%s", j.ExitStatus, j.SignalReason, s.exit, s.signalReason, s.story())
	}
	if s.event != "" {
		s.until("the Event "+s.event, func() bool { return strings.Contains(s.events(), s.event) })
	}
	if s.metric != "" {
		action, reason, _ := strings.Cut(s.metric, "/")
		s.until("the metric "+s.metric, func() bool { return s.counted(action, reason) })
	}
	if got := s.attempts(); s.kjobs != 0 && got != s.kjobs {
		s.Errorf("the job had %d attempts, want %d\n%s", got, s.kjobs, s.story())
	}
	for _, v := range on.Simulator.Violations() {
		if v.JobID == s.id {
			s.Errorf("the ledger: %+v", v)
		}
	}
	s.Logf("the page:\n%sthe events:\n%sthe decisions:\n%s", s.says(), s.events(), s.decisions())
}

// attempts is the highest number that a kjob of the job has, or had: those that
// aren't needed are deleted, and leave their Events.
func (s *scene) attempts() (most int) {
	for _, k := range s.kjobList() {
		_, n, _ := contract.ParseKjobName(k.Name)
		most = max(most, n)
	}
	for _, e := range s.eventList() {
		_, n, _ := contract.ParseKjobName(e.InvolvedObject.Name)
		most = max(most, n)
	}
	return most
}

// eventList are the Events on the job's kjobs.
func (s *scene) eventList() (of []corev1.Event) {
	list, err := on.Cluster.Client().CoreV1().Events(s.namespace).List(s.ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Job"})
	must(s, err)
	for _, e := range list.Items {
		if id, _, ok := contract.ParseKjobName(e.InvolvedObject.Name); ok && id.String() == s.id {
			of = append(of, e)
		}
	}
	return of
}

// events are their words, "Reason: words", a line each.
func (s *scene) events() string {
	var b strings.Builder
	for _, e := range s.eventList() {
		fmt.Fprintf(&b, "%s: %s\n", e.Reason, e.Message)
	}
	return b.String()
}

// measured reports whether a replica has a sample above zero of a metric with
// these labels, names and values by turns in alphabetical order: what a leader
// counted stays with it.
func (s *scene) measured(metric string, labels ...string) bool {
	var pairs []string
	for i := 0; i < len(labels); i += 2 {
		pairs = append(pairs, fmt.Sprintf("%s=%q", labels[i], labels[i+1]))
	}
	prefix := metric + "{" + strings.Join(pairs, ",") + "} "
	for _, text := range s.replicas() {
		for line := range strings.SplitSeq(text, "\n") {
			if value, ok := strings.CutPrefix(line, prefix); ok && value != "0" {
				return true
			}
		}
	}
	return false
}

// counted reports whether a replica has counted a decision in the row's queue.
func (s *scene) counted(action, reason string) bool {
	return s.measured("onejob_decisions_total", "action", action, "queue", s.name, "reason", reason)
}

// decisions are what the replicas counted in the row's queue.
func (s *scene) decisions() string {
	var b strings.Builder
	for _, text := range s.replicas() {
		for line := range strings.SplitSeq(text, "\n") {
			if strings.HasPrefix(line, "onejob_decisions_total{") && strings.Contains(line, fmt.Sprintf(",queue=%q,", s.name)) {
				b.WriteString(line + "\n")
			}
		}
	}
	return b.String()
}

// metrics are those of the leader.
func (s *scene) metrics() string {
	for _, text := range s.replicas() {
		if fixture.Leads(text) {
			return text
		}
	}
	return ""
}

// replicas are the metrics of each scheduler that answers.
func (s *scene) replicas() []string {
	texts, err := fixture.Metrics(s.ctx, on.Cluster.Client())
	must(s, err)
	return texts
}

// story is all that is known of the row, for a failure's message.
func (s *scene) story() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 10*time.Second)
	defer cancel()
	s.ctx, s.telling = ctx, true
	var b strings.Builder
	j := s.job()
	fmt.Fprintf(&b, "the job: %s %q %q, retried by %q\nthe page:\n%sthe events:\n%s", j.State, j.ExitStatus, j.SignalReason, j.RetriedBy, s.says(), s.events())
	for _, k := range s.kjobList() {
		fmt.Fprintf(&b, "%s: %+v\n", k.Name, k.Status.Conditions)
	}
	for _, p := range s.pods() {
		fmt.Fprintf(&b, "%s: %s on %q %s %s, deleted %v, %v\n", p.Name, p.Status.Phase, p.Spec.NodeName, p.Status.Reason, p.Status.Message, p.DeletionTimestamp, p.Status.Conditions)
		for _, c := range p.Status.ContainerStatuses {
			fmt.Fprintf(&b, "  %s %+v %+v %+v\n", c.Name, c.State.Waiting, c.State.Running, c.State.Terminated)
		}
		events, err := on.Cluster.Client().CoreV1().Events(s.namespace).List(s.ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=" + p.Name})
		must(s, err)
		for _, e := range events.Items {
			fmt.Fprintf(&b, "  %s %s %s: %s\n", e.CreationTimestamp.UTC().Format(time.TimeOnly), e.Source.Host, e.Reason, e.Message)
		}
	}
	return b.String()
}
