package scheduler

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// noteWithin bounds a request for a note: a queue's few workers have jobs to end.
const noteWithin = 3 * time.Second

// noted marks in a job's page that its kjob has what its containers used.
const noted = "used/noted"

// noteUsed leaves on a kjob that is over what its containers used, because the kjob may
// outlive its pod: where the queue says so, or where a container had too little of
// something. Nothing else is written to a kjob at its end, so this is one request more.
// A process that dies before leaves it to the next leader, which finds no annotation.
func (q *queue) noteUsed(ctx context.Context, id contract.JobID, f decide.Facts) error {
	wants := q.set.Load().AnnotateUsage
	// A write to a kjob that its controller is about to end costs that a second try. Where
	// the pod is lost, another attempt may follow before that, and nobody looks here again.
	over := f.KJob.Finished || f.Pod.Lost() && f.Pod.Phase == corev1.PodFailed
	if wants == config.AnnotateNone || !over || !f.KJob.Exists || f.KJob.Terminating {
		return nil
	}
	used := f.Pod.UsedBy()
	text := decide.UsedNote(used)
	if text == "" || wants == config.AnnotateVerdicts && !decide.Matters(used) {
		return nil
	}
	kjobs := q.store.KjobsOf(id)
	i := slices.IndexFunc(kjobs, func(k *cache.Job) bool { return k.UID == f.KJob.UID })
	if i < 0 || kjobs[i].Noted || q.pages.isMeasured(id, f.KJob.UID, noted) {
		return nil
	}
	if wait := q.notes.Wait(); wait > 0 {
		q.work.AddAfter(id, wait)
		return nil
	}
	k, sent := kjobs[i], time.Now()
	err := q.patchNote(ctx, k, text)
	if err != nil && !kube.Answered(err) {
		q.notes.Unanswered(sent)
		return err // tried again: the same text does no harm twice
	}
	q.notes.Answered(sent)
	q.pages.measure(id, k.UID, noted)
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err): // gone, or another one
		return nil
	}
	q.s.metrics.apiErrors.WithLabelValues(q.name, "patch", string(apierrors.ReasonForError(err))).Inc()
	if !q.noteRefused.Swap(true) {
		q.log.Warn("what a job used not written to its Kubernetes Job", "job_id", id, "kubernetes_job", k.Name, "err", err,
			"hint", "the Role onejob of this release may patch jobs; annotate-usage: none asks for nothing")
	}
	return nil
}

// patchNote annotates this kjob, but no later one with its name.
func (q *queue) patchNote(ctx context.Context, k *cache.Job, text string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": k.UID, "annotations": map[string]string{contract.AnnotationUsed: text},
	}})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, noteWithin)
	defer cancel()
	_, err = q.s.kube.BatchV1().Jobs(k.Namespace).Patch(ctx, k.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}
