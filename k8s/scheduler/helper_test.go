package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/simulator"
)

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

// created is how many creates of kjobs there were.
func (w *world) created() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.creates
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
		w.await("no kjob is left", decide.HelperGrace+2*time.Second, func() bool { return w.kjobsLeft() == 0 })
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
		r := w.start("  lost-jobs: finish\n")
		w.await("finished", 10*time.Second, w.finished(1))
		w.await("no kjob is left", decide.HelperGrace+2*time.Second, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
		got := w.job(j.ID)
		if got.StackFinish == nil || !strings.Contains(got.StackFinish.Detail, "OOMKilled") || got.ExitStatus != "137" {
			t.Errorf("ended with %q, %+v", got.ExitStatus, got.StackFinish)
		}
	})
}

// While a job waits for its next attempt, nothing is forgotten that the kjob knows,
// whoever leads: how many attempts there were, and when the next may be.
func TestHelperForgetsNoAttempt(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var made []time.Time
		w.runs = func(w *world, p *pod) {
			w.mu.Lock()
			made = append(made, time.Now())
			w.mu.Unlock()
			beside(func(*world, *pod) (int, string, *contract.Message) {
				at := time.Now().Add(9 * time.Minute)
				return contract.ExitLocked, "Error", &contract.Message{Outcome: contract.OutcomeLocked, Reason: "423", NotBefore: &at}
			})(w, p)
		}
		j := w.build(1)[0]
		r := w.start("  max-attempts: 2\n")
		for range 4 {
			time.Sleep(2 * time.Minute)
			w.mu.Lock()
			all := slices.Clone(made)
			w.mu.Unlock()
			if left := w.kjobsLeft(); len(all) != 1 || left != 1 {
				t.Fatalf("attempts at %v, %d kjobs are there; want one", all, left)
			}
			r.end(w)
			r = w.start("  max-attempts: 2\n")
		}
		w.await("finished", 25*time.Minute, w.finished(1))
		w.await("no kjob is left", time.Minute, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
		if f := w.job(j.ID).StackFinish; f == nil || !strings.HasPrefix(f.Detail, "gave up after 2 attempts") || w.creates != 2 {
			t.Errorf("%d kjobs, finished with %+v; want that it gave up after two", w.creates, f)
		}
	})
}

// What runs on beside a runner that reported its job's end is stopped, also when
// Buildkite offers the job again.
func TestHelperOfAJobOfferedAgain(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = beside(func(*world, *pod) (int, string, *contract.Message) {
			zero := 0
			return 0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero}
		})
		w.build(1)
		r := w.start("")
		w.await("no kjob is left", 15*time.Minute, func() bool { return w.created() > 0 && w.kjobsLeft() == 0 })
		time.Sleep(10 * time.Minute)
		r.end(w)
		if w.creates != 1 {
			t.Errorf("%d kjobs, want 1", w.creates)
		}
	})
}
