package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// slowly is a pod that gets a node after a time and then pulls an image, for as long as
// it is told; then its job takes a while.
func slowly(node, pull, job time.Duration) func(w *world, p *pod) {
	return func(w *world, p *pod) {
		w.sleep(node, p.kill)
		placed := metav1.Now()
		p.set(func(o *corev1.Pod) {
			o.Spec.NodeName = "node-1"
			o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: placed}}
		})
		w.sleep(pull, p.kill)
		w.says("Pod", p.kjob+"-x", "kubelet", "Normal", "Pulled", `Successfully pulled image "a:b" in `+pull.String()+` (`+pull.String()+` including waiting). Image size: 1200000000 bytes.`)
		w.sleep(time.Second, p.kill)
		p.set(func(o *corev1.Pod) {
			o.Status.Phase = corev1.PodRunning
			o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
		})
		began := time.Now()
		w.sleep(2*time.Second, p.kill)
		a, err := w.acquire(p.id)
		if err != nil {
			w.Error(err)
			return
		}
		took := time.Since(began)
		w.sleep(job, p.kill)
		a.finish(0)
		zero := 0
		p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero, Phases: []contract.Phase{{Name: "acquire", Start: began, Seconds: took.Seconds()}}})
	}
}

// starts are the lines on a job's page about its start.
func (w *world) starts(id string) (lines []string) {
	for _, n := range w.job(id).Notifications {
		if strings.Contains(n.Detail, "started ") {
			lines = append(lines, n.Detail)
		}
	}
	return lines
}

// askedFor counts the requests to the API server of one kind, or of all.
func (w *world) askedFor(what string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for kind, times := range w.writes {
		if what == "" || kind == what {
			n += times
		}
	}
	return n
}

// A slow start is on the job's page once, as soon as it runs, and no leader after that
// tells it again; `onejob explain` tells it with what the runner says at the end.
func TestSlowStartIsTold(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = slowly(12*time.Second, 31*time.Second, 3*time.Minute)
		r := w.start("")
		time.Sleep(5 * time.Second) // the list was read: the job comes after that
		id := w.build(1)[0].ID
		const want = "started after 44 s: queue 0, node 12, image 31 (1.2 GB, not cached), containers 1"
		w.await("told", 2*time.Minute, func() bool { return len(w.starts(id)) > 0 })
		if got := w.starts(id); !slices.Equal(got, []string{want}) {
			t.Errorf("the page says %q, want %q", got, want)
		}
		time.Sleep(time.Minute)
		r.end(w)
		r = w.start("")
		w.await("finished", 15*time.Minute, w.finished(1))
		time.Sleep(time.Minute)
		if got := w.starts(id); len(got) != 1 {
			t.Errorf("after another leader the page says %q, want it once", got)
		}
		s := w.explain(id, true)
		if len(s.Attempts) != 1 || s.Attempts[0].Start != "started after 46 s: queue 0, node 12, image 31 (1.2 GB, not cached), containers 1, acquire 2" {
			t.Errorf("explain says %+v", s.Attempts)
		}
		r.end(w)
	})
}

// A start that is quick, or not slow enough for the queue, is nothing to tell; a slow
// one is told without its image if Events can't be read.
func TestStartsThatAreNotTold(t *testing.T) {
	for name, tt := range map[string]struct {
		set  string
		node time.Duration
		want int
	}{
		"quick": {"", time.Second, 0}, "slow": {"", 40 * time.Second, 1},
		"slow for this queue": {"  slow-start: 5s\n", 6 * time.Second, 1}, "not for this one": {"  slow-start: 10m\n", time.Minute, 0}, "never": {"  slow-start: 0s\n", time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = slowly(tt.node, 0, time.Second)
				r := w.start("  pending-timeout: 2h\n" + tt.set)
				id := w.build(1)[0].ID
				w.await("finished", 2*time.Hour, w.finished(1))
				time.Sleep(time.Minute)
				if got := w.starts(id); len(got) != tt.want {
					t.Errorf("the page says %q, want %d lines", got, tt.want)
				}
				if lists := w.askedFor("list events"); lists > 5 {
					t.Errorf("Events were listed %d times", lists)
				}
				r.end(w)
			})
		})
	}
}

// A runner that waits long for its job is told of at its end, when it says so, however
// long the job runs.
func TestSlowAcquireIsTold(t *testing.T) {
	for _, runs := range []time.Duration{0, 90 * time.Minute} {
		t.Run(runs.String(), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					p.start()
					began := time.Now()
					w.sleep(50*time.Second, p.kill)
					a, err := w.acquire(p.id)
					if err != nil {
						w.Error(err)
						return
					}
					for range runs / time.Minute {
						w.sleep(time.Minute, p.kill)
						w.call("POST", "heartbeat", a.session, nil)
					}
					a.finish(0)
					zero := 0
					p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero, Phases: []contract.Phase{{Name: "acquire", Start: began, Seconds: 50}}})
				}
				r := w.start("")
				time.Sleep(5 * time.Second)
				id := w.build(1)[0].ID
				w.await("finished", runs+5*time.Minute, w.finished(1))
				w.await("told", time.Minute, func() bool { return len(w.starts(id)) > 0 })
				if got := w.starts(id); len(got) != 1 || !strings.HasSuffix(got[0], "node 0, image and containers 0, acquire 50") {
					t.Errorf("the page says %q", got)
				}
				r.end(w)
			})
		})
	}
}

// A thousand slow starts at once read Events at the queue's pace, and each is told.
func TestManySlowStarts(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const n = 200
		w.runs = slowly(31*time.Second, 6*time.Second, 3*time.Minute)
		r := w.start("  max-in-flight: 0\n")
		jobs := w.build(n)
		w.await("acquired", 5*time.Minute, func() bool { return w.sim.JobsIn()[simulator.StateRunning] == n })
		began := w.askedFor("list events")
		time.Sleep(10 * time.Second)
		if lists := w.askedFor("list events") - began; lists > 10*warningsPerSecond+warningsPerSecond {
			t.Errorf("Events were listed %d times in ten seconds", lists)
		}
		w.await("finished", 30*time.Minute, w.finished(n))
		time.Sleep(time.Minute)
		for _, j := range jobs {
			if got := w.starts(j.ID); len(got) != 1 {
				t.Fatalf("a page says %q, want one line", got)
			}
		}
		r.end(w)
	})
}
