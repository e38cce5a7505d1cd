package operate

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// Cancel marks a job's unfinished kjobs with who cancels it and why, and returns their
// names. A scheduler that runs, or the next one that starts, finishes the job with this
// text, or stops the runner that has it, and deletes the kjob. Cancel doesn't delete
// the kjob itself: a scheduler that doesn't see the deletion would not see the mark,
// and would make a new attempt.
func Cancel(ctx context.Context, kube kube.Client, namespace string, id contract.JobID, who string, dryRun bool) ([]string, error) {
	kjobs, _, err := objectsOf(ctx, kube, namespace, id)
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range kjobs {
		k := &kjobs[i]
		if kjob.Finished(k) {
			continue
		}
		names = append(names, k.Name)
		if dryRun {
			continue
		}
		if err := markCancelled(ctx, kube, k, who); err != nil {
			return names, fmt.Errorf("marking %s: %w", k.Name, err)
		}
	}
	return names, nil
}

// markCancelled writes the annotation. The update carries the UID and the
// resourceVersion that were read. The Job controller often writes a young kjob's
// status, so the kjob is read again after a conflict.
func markCancelled(ctx context.Context, kube kube.Client, k *batchv1.Job, who string) error {
	jobs := kube.BatchV1().Jobs(k.Namespace)
	for try := 1; ; try++ {
		if k.Annotations == nil {
			k.Annotations = map[string]string{}
		}
		k.Annotations[contract.AnnotationCancel] = who
		_, err := jobs.Update(ctx, k, metav1.UpdateOptions{})
		if !apierrors.IsConflict(err) || try == 5 {
			return err
		}
		if k, err = jobs.Get(ctx, k.Name, metav1.GetOptions{}); err != nil {
			return err
		}
	}
}
