package scheduler

import (
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/onejob-dev/onejob/simulator"
)

// A quota of Jobs may be full for hours: the API server isn't asked by each job that
// waits for it every few seconds.
func TestQuotaIsAskedOfSeldom(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.onCreate = func(k *batchv1.Job) (error, error) {
			return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, k.Name, errQuota), nil
		}
		w.build(300)
		r := w.start("")
		time.Sleep(5 * time.Minute)
		before := r.metric("onejob_kubernetes_job_creates_total")["default forbidden"]
		time.Sleep(10 * time.Minute)
		if got := r.metric("onejob_kubernetes_job_creates_total")["default forbidden"] - before; got < 600 || got > 10*60*forbiddenRate*1.1 {
			t.Errorf("%v creates in ten minutes, want %d or a little fewer", got, 10*60*forbiddenRate)
		}
		r.end(w)
	})
}
