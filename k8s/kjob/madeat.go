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

// SetWaited notes on a kjob how long its job could run before the create was sent.
func SetWaited(k *batchv1.Job, waited time.Duration) {
	if k.Annotations == nil {
		k.Annotations = map[string]string{}
	}
	k.Annotations[contract.AnnotationWaited] = waited.Round(time.Millisecond).String()
}

// Waited is what SetWaited noted; 0 if that isn't known.
func Waited(k *batchv1.Job) time.Duration {
	waited, err := time.ParseDuration(k.Annotations[contract.AnnotationWaited])
	if err != nil || waited < 0 {
		return 0
	}
	return waited
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
