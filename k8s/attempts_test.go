package k8s

import (
	"fmt"
	"testing"
	"time"

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
