package scheduler

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
)

// The API server's clock is set by a day while a pod waits, and with a new
// scheduler after that: the pod has its pending timeout, no less and no more. Its job
// had waited at Buildkite before. A kjob of a release that doesn't say when it was made
// has the timeout anew with each scheduler.
func TestClockIsSetWhileAPodWaits(t *testing.T) {
	for _, tt := range []struct {
		name     string
		by       time.Duration
		restarts bool
		unsaid   bool
		most     time.Duration // how much longer it may take
	}{
		{"forward", 24 * time.Hour, false, false, 5 * time.Second},
		{"back", -24 * time.Hour, false, false, 5 * time.Second},
		{"forward, and the scheduler restarts", 24 * time.Hour, true, false, 5 * time.Second},
		{"back, and the scheduler restarts", -24 * time.Hour, true, false, 2*time.Minute + 5*time.Second},
		{"forward, and the scheduler restarts, and is newer", 24 * time.Hour, true, true, 2*time.Minute + 5*time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = pending
				skew := time.Duration(0)
				knows := func(o *Options) { o.Skew = func() time.Duration { return skew } }
				j := w.build(1)[0]
				time.Sleep(20 * time.Minute)
				began := time.Now()
				const timeout = 5 * time.Minute
				r := w.start("  pending-timeout: 5m\n", knows)
				time.Sleep(2 * time.Minute)
				skew = tt.by
				if tt.unsaid {
					w.podOf(j.ID).setKjob(func(k *batchv1.Job) { delete(k.Annotations, contract.AnnotationMadeAt) })
				}
				w.podOf(j.ID).set(func(o *corev1.Pod) { o.Spec.NodeName = "node-1" })
				if tt.restarts {
					r.end(w)
					r = w.start("  pending-timeout: 5m\n", knows)
				}
				w.await("finished", timeout+tt.most, w.finished(1))
				if took := time.Since(began); took < timeout || took > timeout+tt.most {
					t.Errorf("finished after %s, want %s", took, timeout)
				}
				r.end(w)
			})
		})
	}
}

// The controller manager's clock is a day ahead, so that the Job controller ends each kjob
// at its active deadline. A job that waited is tried again; of one that ran the page says why
// it was stopped.
func TestControllerManagersClockIsAhead(t *testing.T) {
	for _, waits := range []bool{true, false} {
		inWorld(t, simulator.Config{}, func(w *world) {
			deadline := func(p *pod) {
				p.setKjob(func(k *batchv1.Job) {
					k.Status.Conditions = append(k.Status.Conditions, batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonDeadlineExceeded, LastTransitionTime: metav1.Now()})
				})
			}
			w.runs = func(w *world, p *pod) {
				switch {
				case p.attempt > 1:
					ran(w, p)
				case waits:
					w.sleep(time.Second, p.kill)
					_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
					deadline(p)
				default:
					stoppedInAMinute(w, p, func() { deadline(p) })
				}
			}
			id := w.build(1)[0].ID
			r := w.start("")
			w.await("finished", 2*time.Minute, w.finished(1))
			time.Sleep(10 * time.Second)
			kjobs, exit := 1, "-1"
			if waits {
				kjobs, exit = 2, "0"
			}
			if got := w.job(id); got.ExitStatus != exit || w.kjobs(id) != kjobs {
				t.Errorf("exit status %s with %d kjobs, want %s with %d", got.ExitStatus, w.kjobs(id), exit, kjobs)
			}
			if page := strings.Join(w.page(id), "\n"); !waits && !strings.Contains(page, "of 6h0m0s, so check the clock of Kubernetes' controller manager") {
				t.Errorf("the page doesn't say why:\n%s", page)
			}
			r.end(w)
		})
	}
}

// A kjob that a person has made says when, too.
func TestReacquireSaysWhen(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		id := w.build(1)[0].ID
		r := &operate.Reacquirer{Kube: w.kube, Client: w.client(), Template: w.template("")}
		if k, err := r.Reacquire(w.ctx, contract.JobID(id)); err != nil || !kjob.MadeAt(k).Equal(time.Now()) {
			t.Errorf("made at %v, %v; want now", k, err)
		}
	})
}

func (w *world) podOf(id string) *pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pods["onejob-"+id]
}
