package k8s

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
)

// Warm placeholders hold a node, with the image on it, for the job to come: a
// pod of the template's image and requests that does nothing and that a job's
// pod preempts. They have no job ID and hold no slot.
const (
	// WarmPriorityClass is a PriorityClass of -10 that preempts nobody; deploy/
	// has it.
	WarmPriorityClass = "onejob-warm"
	warmPrefix        = "onejob-warm-"
	annotationWarm    = "onejob.dev/warm" // hash of a placeholder's spec
	warmEvery         = 5 * time.Second
	maxWarm           = 1000
)

// warmWanted is how many placeholders there should be beside n unfinished kjobs.
func warmWanted(q Queue, n int) int {
	return min(max(q.MinAgents-n, q.Buffer.Of(n), 0), maxWarm)
}

// warmName is the queue's name as far as a Job's allows it, and with a hash if it
// doesn't: two queues never share a placeholder.
func warmName(queue string, n int) string {
	name := strings.Trim(strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(labelValue(queue))), "-")
	if name != queue || len(name) > 40 {
		name = strings.Trim(name[:min(len(name), 31)], "-") + "-" + hash8(queue)
	}
	return fmt.Sprintf(warmPrefix+"%s-%d", name, n)
}

// checkWarm refuses a template that leaves a hole in its placeholders: they have
// no job to fill it from, and would wait for an image of that name. What
// placeholders go without, environment, labels, volumes and init containers, may
// have holes.
func checkWarm(t *Template) error {
	if t.agent() == nil || t.job.Spec.ActiveDeadlineSeconds == nil {
		return nil // checkTemplate says so
	}
	doc, err := json.Marshal(newWarm(t, 1))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range holes(doc) {
		errs = append(errs, fmt.Errorf("%s: {{env.NAME}} has no value in a warm placeholder, which has no job: take it out, or leave the queue without min-agents and buffer", path))
	}
	return errors.Join(errs...)
}

// newWarm makes a placeholder, of the template's pod with another command.
func newWarm(t *Template, n int) *batchv1.Job {
	k := t.job.DeepCopy()
	labels := map[string]string{
		contract.LabelQueue: labelValue(t.Queue), labelName: "onejob-agent", labelComponent: "warm", labelManagedBy: managedBy,
	}
	k.TypeMeta = metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}
	k.ObjectMeta = metav1.ObjectMeta{Name: warmName(t.Queue, n), Namespace: t.Namespace, Labels: labels}
	k.Status, k.Spec.Suspend = batchv1.JobStatus{}, nil
	k.Spec.Completions, k.Spec.Parallelism = ptr.To[int32](1), ptr.To[int32](1)
	// A preempted placeholder is one that has done its work.
	k.Spec.BackoffLimit, k.Spec.TTLSecondsAfterFinished = ptr.To[int32](0), ptr.To[int32](0)
	k.Spec.Template.ObjectMeta = metav1.ObjectMeta{Labels: labels}
	pod := &k.Spec.Template.Spec
	pod.TerminationGracePeriodSeconds = ptr.To[int64](0)
	pod.PriorityClassName, pod.Priority, pod.PreemptionPolicy = WarmPriorityClass, nil, nil
	pod.InitContainers, pod.Volumes = nil, nil
	agent := findAgent(pod)
	agent.Command, agent.Args = []string{"sleep"}, []string{strconv.FormatInt(*k.Spec.ActiveDeadlineSeconds, 10)}
	agent.Env, agent.EnvFrom, agent.VolumeMounts, agent.Lifecycle = nil, nil, nil, nil
	agent.LivenessProbe, agent.ReadinessProbe, agent.StartupProbe = nil, nil, nil
	spec, _ := json.Marshal(k.Spec) // it came from JSON
	k.Annotations = map[string]string{annotationWarm: hash8(string(spec))}
	return k
}

// warm keeps the placeholders at their number until ctx ends.
func (q *queue) warm(ctx context.Context) {
	for pause(ctx, warmEvery, nil) {
		set := q.set.Load()
		have := map[string]*seenKjob{}
		unfinished := 0
		q.mu.Lock()
		for _, k := range q.store.kjobsIn(q.label) {
			switch {
			case k.placeholder():
				have[k.Name] = k
			case q.holdsSlot(k):
				unfinished++
			}
		}
		stopped := q.refused != nil
		q.mu.Unlock()
		want := warmWanted(set.Queue, unfinished)
		if stopped {
			want = 0
		}
		for n := 1; n <= want; n++ {
			made := newWarm(set.template, n)
			k := have[made.Name]
			if k == nil && q.s.brake.wait() == 0 {
				q.warmed(ctx, "create", time.Now(), q.create(ctx, made))
			}
			if k != nil && !k.Finished && k.warm == made.Annotations[annotationWarm] {
				delete(have, made.Name)
			}
		}
		// What is left is surplus, of an earlier template, or a finished one in
		// the way of a new one.
		for _, k := range have {
			q.cool(ctx, k)
		}
	}
}

// placeholder: a Job of ours that holds a node for a job to come.
func (k *seenKjob) placeholder() bool {
	return k.id == "" && strings.HasPrefix(k.Name, warmPrefix) && !k.Terminating
}

// cool deletes a placeholder.
func (q *queue) cool(ctx context.Context, k *seenKjob) {
	uid, background := k.UID, metav1.DeletePropagationBackground
	q.warmed(ctx, "delete", time.Now(), q.s.kube.BatchV1().Jobs(k.Namespace).Delete(ctx, k.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &background,
	}))
}

func (q *queue) create(ctx context.Context, k *batchv1.Job) error {
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err := q.s.kube.BatchV1().Jobs(k.Namespace).Create(cctx, k, metav1.CreateOptions{})
	return err
}

func (q *queue) warmed(ctx context.Context, verb string, sent time.Time, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case err == nil, apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsForbidden(err),
		apierrors.IsInvalid(err), apierrors.IsBadRequest(err), byWebhook(err):
		q.s.brake.answered(sent)
	default:
		q.s.brake.unanswered(sent)
	}
	if err == nil || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return
	}
	q.s.metrics.apiErrors.WithLabelValues(q.name, verb, string(apierrors.ReasonForError(err))).Inc()
	q.log.Warn("warm placeholder", "verb", verb, "err", err)
}
