package k8s

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// A refusal whose words change with each try is told a few times, and leaves
// room for what comes later.
func TestChangingWordsAreToldAFewTimes(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		full, tries := true, 0
		w.onCreate = func(k *batchv1.Job) (before, after error) {
			if !full {
				return nil, nil
			}
			tries++
			return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, k.Name, fmt.Errorf("exceeded quota: used: %d", tries)), nil
		}
		w.runs = exits(contract.ExitExhausted, contract.OutcomeExhausted)
		r := w.start("")
		job := w.build(1)[0]
		w.await("the first words, at once", 10*time.Second, func() bool { return len(w.job(job.ID).Notifications) == 1 })
		time.Sleep(10 * time.Minute)
		w.mu.Lock()
		full = false
		seen := tries
		w.mu.Unlock()
		w.await("finished", 5*time.Minute, w.finished(1))
		waits, others := 0, 0
		for _, n := range w.job(job.ID).Notifications {
			if strings.Contains(n.Detail, "exceeded quota") {
				waits++
			} else {
				others++
			}
		}
		if waits < 2 || waits > maxWaits || seen < 2*maxWaits || others == 0 {
			t.Errorf("%d refusals were told %d times, and %d other things", seen, waits, others)
		}
		r.end(w)
	})
}
