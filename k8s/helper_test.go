package k8s

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// What counts is the agent container, whatever else is in the pod.
func TestPodFactsBesideOthers(t *testing.T) {
	type containers = []corev1.ContainerStatus
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	ended := func(code int32, reason string) corev1.ContainerState {
		return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: reason}}
	}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff"}}
	creating := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "PodInitializing"}}
	always := corev1.ContainerStatus{Name: "mesh", State: runs}
	agent := func(s corev1.ContainerState) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: agentContainer, State: s}
	}
	for _, tt := range []struct {
		name       string
		phase      corev1.PodPhase
		init, main containers
		deleted    bool
		over, lost bool
		lingers    bool
		stops      bool
		helper     string
		waiting    string
	}{
		{name: "both run", main: containers{agent(runs), {Name: "proxy", State: runs}}, helper: "proxy"},
		{name: "the agent has ended", main: containers{agent(ended(75, "Error")), {Name: "proxy", State: runs}}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the agent has ended, and comes last", main: containers{{Name: "proxy", State: runs}, agent(ended(0, "Completed"))}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the agent was killed", main: containers{agent(ended(137, "OOMKilled")), {Name: "proxy", State: runs}}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the agent's end was not seen", main: containers{agent(ended(137, "ContainerStatusUnknown")), {Name: "proxy", State: runs}}, helper: "proxy"},
		{name: "the agent runs again", main: containers{{Name: agentContainer, State: runs, LastTerminationState: ended(1, "Error")}, {Name: "proxy", State: runs}}, helper: "proxy"},
		{name: "the other has ended", main: containers{agent(runs), {Name: "proxy", State: ended(1, "Error")}}},
		{name: "the other never starts", main: containers{agent(ended(0, "Completed")), {Name: "proxy", State: waits}}, over: true, lost: true, lingers: true, helper: "proxy"},
		{name: "the other waits, and comes first", phase: corev1.PodPending, main: containers{{Name: "proxy", State: waits}, agent(creating)}, helper: "proxy"},
		{name: "the agent waits", phase: corev1.PodPending, main: containers{{Name: "proxy", State: runs}, agent(waits)}, helper: "proxy", waiting: "ImagePullBackOff"},
		{name: "a native sidecar waits", phase: corev1.PodPending, init: containers{{Name: "mesh", State: waits}}, main: containers{agent(creating)}, waiting: "ImagePullBackOff"},
		{name: "a native sidecar", init: containers{always}, main: containers{agent(ended(0, "Completed"))}, over: true, lost: true, lingers: true, stops: true},
		{name: "deleted", deleted: true, main: containers{agent(ended(0, "Completed")), {Name: "proxy", State: runs}}, over: true, lost: true, lingers: true, stops: true, helper: "proxy"},
		{name: "all have ended", phase: corev1.PodFailed, main: containers{agent(ended(0, "Completed")), {Name: "proxy", State: ended(137, "Error")}}, over: true, lost: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{Phase: corev1.PodRunning, InitContainerStatuses: tt.init, ContainerStatuses: tt.main}}
			if tt.phase != "" {
				o.Status.Phase = tt.phase
			}
			if tt.deleted {
				o.DeletionTimestamp = &metav1.Time{Time: t0}
			}
			p := podFacts(o)
			if p.Over() != tt.over || p.Lost() != tt.lost || p.Lives() == tt.over || p.lingers() != tt.lingers || p.lingers() && p.stops() != tt.stops || p.Helper != tt.helper || p.Waiting != tt.waiting {
				t.Errorf("over %v, lost %v, lingers %v, stops %v, helper %q, waiting %q; want %+v", p.Over(), p.Lost(), p.lingers(), p.stops(), p.Helper, p.Waiting, tt)
			}
		})
	}
}

// An attempt is over when its agent container is, and what runs on is stopped.
func TestDecideLingering(t *testing.T) {
	helper := func(name string) func(*Facts) {
		return func(f *Facts) {
			f.KJob.Finished, f.Pod.Phase, f.Pod.Ended, f.Pod.Helper = false, corev1.PodRunning, true, name
		}
	}
	ago := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.OverAt = t0.Add(-d) } }
	terminating := func(f *Facts) { f.Pod.Terminating = true }
	gone := func(f *Facts) { f.KJob.Exists, f.KJob.Gone, f.Removed = false, true, ReasonHelper }
	const reserved, running, finished = stacks.StateReserved, stacks.StateRunning, stacks.StateFinished
	for _, tt := range []struct {
		name   string
		facts  factsBuilder
		action Action
		reason Reason
		says   string
		again  time.Duration // from t0
	}{
		{"0, just now", aKJob().Exits(0).State(finished).but(helper("proxy")), None, ReasonFinished, "", helperGrace - time.Second},
		{"0", aKJob().Exits(0).State(finished).but(helper("proxy")).but(ago(helperGrace)), Delete, ReasonHelper, "container proxy of pod p was still there when the agent container had ended; attempt 1 is done", 0},
		{"0, state older", aKJob().Exits(0).StateBefore(running).but(helper("proxy")).but(ago(helperGrace)), Ask, ReasonHelper, "", 0},
		{"0, and Buildkite is late", aKJob().Exits(0).State(running).but(helper("proxy")).but(ago(helperGrace)), Delete, ReasonHelper, "", 0},
		{"0, and a native sidecar", aKJob().Exits(0).State(finished).but(helper("")).but(ago(time.Minute)), None, ReasonFinished, "", time.Minute},
		{"0, and a native sidecar that isn't stopped", aKJob().Exits(0).State(finished).but(helper("")).but(ago(2 * time.Minute)), Delete, ReasonHelper, "a native sidecar of pod p", 0},
		{"0, its pod deleted", aKJob().Exits(0).State(finished).but(helper("proxy")).but(terminating).but(ago(time.Minute)), None, ReasonFinished, "", time.Minute},
		{"27", aKJob().Exits(27).State(reserved).but(helper("proxy")).but(ago(helperGrace)), Delete, ReasonHelper, "", 0},
		{"27, and another agent has the job", aKJob().Exits(27).State(running).but(helper("proxy")).but(ago(helperGrace)), Delete, ReasonHelper, "", 0},
		{"27, its kjob deleted for that", aKJob().Exits(27).State(reserved).but(helper("proxy")).but(gone), Attempt, ReasonRejected, "was refused the job", 0},
		{"75, just now", aKJob().Exits(75).State(reserved).but(helper("proxy")), None, ReasonExhausted, "", helperGrace - time.Second},
		{"75, its pod deleted", aKJob().Exits(75).State(reserved).but(helper("proxy")).but(terminating).but(ago(helperGrace)), Delete, ReasonHelper, "attempt 1 is ended: : the runner's words", 0},
		{"75, and a native sidecar", aKJob().Exits(75).State(reserved).but(helper("")).but(ago(helperGrace)), Delete, ReasonHelper, "", 0},
		{"75, its kjob deleted for that", aKJob().Exits(75).State(reserved).but(helper("proxy")).but(gone), Attempt, ReasonExhausted, "the runner's words", 0},
		{"78", aKJob().Exits(78).State(reserved).but(helper("proxy")), Finish, ReasonConfig, "", 0},
		{"out of memory", aKJob().Lost().State(running).but(helper("proxy")), Finish, ReasonLostAfter, "OOMKilled, exit code 137", 0},
		{"out of memory, and finished", aKJob().Lost().State(finished).but(helper("proxy")).but(ago(helperGrace)), Delete, ReasonHelper, "attempt 1 is lost: OOMKilled, exit code 137", 0},
		{"lost before acquisition", aKJob().Lost().State(reserved).but(helper("proxy")), Attempt, ReasonLost, "OOMKilled", 0},
		{"lost before acquisition, its kjob deleted for that", aKJob().Lost().State(reserved).but(helper("proxy")).but(gone), Attempt, ReasonLost, "OOMKilled", 0},
		{"out of memory, its kjob deleted for that", aKJob().Lost().State(finished).but(helper("proxy")).but(gone), None, ReasonLost, "", 0},
		{"its end not seen", aKJob().Lost().State(running).but(helper("proxy")).but(func(f *Facts) { f.Pod.Ended, f.Pod.Exited = false, false }), None, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Decide(tt.facts.Facts)
			if got.Action != tt.action || got.Reason != tt.reason || !strings.Contains(got.Text+got.Why, tt.says) || tt.again != 0 && !got.Again.Equal(t0.Add(tt.again)) {
				t.Errorf("got  %+v\nwant %+v", got, tt)
			}
		})
	}
}

// beside puts another container beside the agent's, which runs on when that has
// ended: until the kjob is deleted, and then for the time of its grace.
func beside(run func(w *world, p *pod) (code int, why string, m *contract.Message)) func(*world, *pod) {
	return func(w *world, p *pod) {
		w.sleep(300*time.Millisecond, p.kill)
		p.start()
		p.set(func(o *corev1.Pod) {
			o.Status.ContainerStatuses = append(o.Status.ContainerStatuses, corev1.ContainerStatus{Name: "proxy", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}})
		})
		code, why, m := run(w, p)
		p.set(func(o *corev1.Pod) {
			end := &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: why, FinishedAt: metav1.Now()} //nolint:gosec // an exit code
			if m != nil {
				m.ExitCode, m.JobID, m.Attempt = code, p.id, p.attempt
				end.Message = string(m.Encode())
			}
			o.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: end}
		})
		p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" }) // it counts no more
		w.sleep(time.Hour, p.kill)
		w.sleep(15*time.Second, nil)
	}
}

func (w *world) kjobsLeft() int {
	list, _ := w.kube.Tracker().List(jobsGVR, batchv1.SchemeGroupVersion.WithKind("Job"), namespace)
	return len(list.(*batchv1.JobList).Items)
}

// eventsSaying counts the Events of a reason that have these words.
func (w *world) eventsSaying(reason, words string) (n int) {
	list, err := w.kube.CoreV1().Events(namespace).List(w.ctx, metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Reason == reason && strings.Contains(e.Message, words) {
			n++
		}
	}
	return n
}

// A job that ends well frees its slot when its agent container has ended, and
// what runs on is stopped within seconds.
func TestHelperHoldsNoSlot(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = beside(func(w *world, p *pod) (int, string, *contract.Message) {
			a, err := w.acquire(p.id)
			if err != nil {
				return contract.ExitRejected, "Error", &contract.Message{Outcome: contract.OutcomeRejected, Reason: err.Error()}
			}
			w.sleep(time.Second, p.kill)
			a.finish(0)
			zero := 0
			return 0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero}
		})
		const n = 20
		w.build(n)
		r := w.start("  max-in-flight: 2\n")
		w.await("all finished", time.Minute, w.finished(n))
		w.await("no kjob is left", helperGrace+2*time.Second, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
		if w.most > 2 {
			t.Errorf("%d kjobs whose agent container had not ended at a time, want 2", w.most)
		}
		if w.creates != n {
			t.Errorf("%d kjobs for %d jobs", w.creates, n)
		}
		if got := w.eventsSaying("Deleted", "helper_left: container proxy of pod"); got != n {
			t.Errorf("%d Events tell what ran on, want %d", got, n)
		}
	})
}

// A runner that gives the job back is followed by another attempt, whatever runs
// on beside it, and also if the scheduler dies in between.
func TestHelperOfARunnerThatGaveUp(t *testing.T) {
	for _, tt := range []struct {
		name  string
		code  int
		about contract.Outcome
		dies  time.Duration // the scheduler, after its start
	}{
		{"27", contract.ExitRejected, contract.OutcomeRejected, 0},
		{"75", contract.ExitExhausted, contract.OutcomeExhausted, 0},
		{"27, and the scheduler dies", contract.ExitRejected, contract.OutcomeRejected, 3 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				first := true
				w.runs = func(w *world, p *pod) {
					if first {
						first = false
						beside(func(*world, *pod) (int, string, *contract.Message) {
							return tt.code, "Error", &contract.Message{Outcome: tt.about, Reason: "404"}
						})(w, p)
						return
					}
					ran(w, p)
				}
				j := w.build(1)[0]
				r := w.start("")
				if tt.dies > 0 {
					time.Sleep(tt.dies)
					r.end(w)
					r = w.start("")
				}
				w.await("finished", 45*time.Second, w.finished(1))
				r.end(w)
				if got := w.job(j.ID); got.ExitStatus != "0" || w.creates != 2 {
					t.Errorf("ended with %q after %d kjobs, want 0 after 2", got.ExitStatus, w.creates)
				}
			})
		})
	}
}

// An agent container that is killed for want of memory ends its job, though
// another one of its pod lives.
func TestHelperOutlivesAKilledAgent(t *testing.T) {
	inWorld(t, simulator.Config{FinishHeld: []string{"default"}}, func(w *world) {
		w.runs = beside(func(w *world, p *pod) (int, string, *contract.Message) {
			if _, err := w.acquire(p.id); err != nil {
				return contract.ExitRejected, "Error", nil
			}
			w.sleep(time.Second, p.kill)
			return 137, "OOMKilled", nil
		})
		j := w.build(1)[0]
		r := w.start("")
		w.await("finished", 10*time.Second, w.finished(1))
		w.await("no kjob is left", helperGrace+2*time.Second, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
		got := w.job(j.ID)
		if got.StackFinish == nil || !strings.Contains(got.StackFinish.Detail, "OOMKilled") || got.ExitStatus != "137" {
			t.Errorf("ended with %q, %+v", got.ExitStatus, got.StackFinish)
		}
	})
}
