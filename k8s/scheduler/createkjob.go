package scheduler

import (
	"encoding/json"
	"fmt"
	"runtime/debug"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// maxKjob bounds what a step makes of its pod. etcd takes 1.5 MB, and an API server that
// can't store an object says so with a 500, as if it had trouble itself.
const maxKjob = 256 << 10

// newKjob makes a claim's kjob. The error is the job's fault, or ours with that one job.
func (q *queue) newKjob(c claim, t *kjob.Template) (k *batchv1.Job, err error) {
	defer func() {
		if r := recover(); r != nil {
			q.s.metrics.panics.WithLabelValues(q.name).Inc()
			q.log.Error("making the Kubernetes Job panicked: please report it with this stack", "job_id", c.job.ID, "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = fmt.Errorf("onejob can't make this job's pod, because of an error of its own: %s. Tell whoever runs onejob; its log has more. A simpler step may work", contract.Line(fmt.Sprint(r), 60))
		}
	}()
	if c.named != nil {
		t = t.With(c.named)
	}
	if snapshot, _ := q.mirrors.now(q.set.Load().GitMirrors.Snapshot); snapshot != "" {
		t = t.WithSnapshot(snapshot)
	}
	if k, err = kjob.New(c.job, c.attempt, t, c.env); err != nil || !t.WantsEnv() {
		return k, err
	}
	encoded, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("the step's pod can't be written: %w", err)
	}
	if len(encoded) > maxKjob {
		return nil, fmt.Errorf("the Kubernetes Job that the step describes has %d bytes, and %d are sent at the most: make its kubernetes plugin smaller", len(encoded), maxKjob)
	}
	return k, nil
}
