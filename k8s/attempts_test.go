package k8s

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// A finished kjob that goes at once, by its TTL, takes neither the decision nor
// the count of attempts along, nor the backoff between them.
func TestTTLZero(t *testing.T) {
	for code, want := range map[int]int{contract.ExitConfig: 1, contract.ExitExhausted: 3} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					if !w.sleep(300*time.Millisecond, p.kill) {
						return
					}
					p.start()
					w.sleep(time.Second, p.kill)
					p.end(code, "Error", &contract.Message{Outcome: contract.OutcomeConfig, Reason: "x"})
					w.mu.Lock()
					_ = w.kube.Tracker().Delete(jobsGVR, namespace, p.kjob)
					w.mu.Unlock()
					_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
				}
				job := w.build(1)[0]
				r := w.start("  max-attempts: 3\n  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 0}}}\n")
				took := w.await("finished", 5*time.Minute, w.finished(1))
				if n := w.kjobs(job.ID); n != want {
					t.Errorf("%d kjobs, want %d", n, want)
				}
				if f := w.job(job.ID).StackFinish; f == nil || f.ExitStatus != -1 {
					t.Errorf("finish: %+v", f)
				}
				if backoffs := backoff(1) + backoff(2); want == 3 && took < backoffs {
					t.Errorf("gave up after %s, with no backoff (%s)", took, backoffs)
				}
				r.end(w)
			})
		})
	}
}

// A job whose runner has reported its end, and that Buildkite offers all the
// same, is left alone, also when its kjob has gone by its TTL.
func TestReportedJobIsLeftAlone(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			w.sleep(300*time.Millisecond, p.kill)
			p.start()
			p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished})
		}
		id := w.build(1)[0].ID
		r := w.start("")
		w.await("finished", 10*time.Second, func() bool {
			k, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, "onejob-"+id, metav1.GetOptions{})
			return err == nil && finished(k)
		})
		time.Sleep(time.Minute) // its reservation lapses
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
		_ = w.kube.Tracker().Delete(podsGVR, namespace, "onejob-"+id+"-x")
		time.Sleep(5 * time.Minute)
		if n := w.kjobs(id); n != 1 {
			t.Errorf("%d kjobs were made, want 1", n)
		}
		if said := fmt.Sprint(w.job(id).Notifications); !strings.Contains(said, "left alone") {
			t.Errorf("the page says %s", said)
		}
		r.end(w)
	})
}
