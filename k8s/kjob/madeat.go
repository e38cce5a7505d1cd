package kjob

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
)

// SetMadeAt notes on a kjob when the scheduler sends its create, by the scheduler's clock.
// Kubernetes' creationTimestamp is by the API server's clock, which may differ.
func SetMadeAt(k *batchv1.Job, now time.Time) {
	if k.Annotations == nil {
		k.Annotations = map[string]string{}
	}
	k.Annotations[contract.AnnotationMadeAt] = now.UTC().Format(time.RFC3339Nano)
}

// MadeAt is when a scheduler sent a kjob's create, by that scheduler's clock. It is zero for
// a kjob of an old release, which has no such annotation.
func MadeAt(k *batchv1.Job) time.Time {
	at, err := time.Parse(time.RFC3339Nano, k.Annotations[contract.AnnotationMadeAt])
	if err != nil {
		return time.Time{}
	}
	return at
}
