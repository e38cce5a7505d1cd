package operate

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// Story is all that is known of one job, in the order of time.
type Story struct {
	JobID contract.JobID `json:"job_id"`
	URL   string         `json:"url,omitempty"`
	// State is Buildkite's, empty if it couldn't be asked; StateError says why.
	State      stacks.State `json:"state,omitempty"`
	StateError string       `json:"state_error,omitempty"`
	Attempts   []Row        `json:"attempts"`
	Lines      []StoryLine  `json:"story"`
	// Now is what is being waited for, Advice what to do about it.
	Now    string `json:"now"`
	Advice string `json:"advice"`
}

// StoryLine is one thing that happened.
type StoryLine struct {
	Time time.Time `json:"time"`
	Who  string    `json:"who"`
	What string    `json:"what"`

	rank int
}

// The ranks order what happened within one second, because Kubernetes' times are no
// finer: everything of one attempt, then of the next.
const (
	rankScheduled = iota
	rankMade
	rankEvent
	rankPod
	rankRunner
	rankEnd
	rankKJob
	rankDecided
	ranks
)

// NoStack is what a 404 for a queue's stack, or for a job in it, comes from.
const NoStack = "Buildkite doesn't know this job in this queue, or doesn't know the queue's stack. A scheduler registers the stack when it first serves the queue"

// Explain tells a job's history from what is in the cluster and, unless client is nil,
// Buildkite's state. The grace in p is for want of a Kubernetes Job, which has its own.
func Explain(ctx context.Context, kube kube.Client, client *stacks.Client, namespace string, id contract.JobID, p decide.Policy) (Story, error) {
	t := teller{kube: kube, story: Story{JobID: id}, look: look{asked: time.Now(), policy: p}}
	t.story.State, t.story.StateError = stateOf(ctx, client, id)
	kjobs, pods, err := objectsOf(ctx, kube, namespace, id)
	if err != nil {
		return t.story, err
	}
	t.look.now, t.look.pods = time.Now(), pods
	if n := len(kjobs); n > 0 {
		t.last = &kjobs[n-1]
	}
	for i := range kjobs {
		if err := t.tellAttempt(ctx, &kjobs[i]); err != nil {
			return t.story, err
		}
	}
	if grace := graceOf(t.look.kjob); grace > 0 {
		t.look.policy.Grace = grace
	}
	if err := t.tellUnseen(ctx, namespace); err != nil {
		return t.story, err
	}
	s := t.story
	slices.SortStableFunc(s.Lines, func(a, b StoryLine) int {
		return cmp.Or(a.Time.Truncate(time.Second).Compare(b.Time.Truncate(time.Second)), a.rank-b.rank)
	})
	if t.look.kjob != nil && decide.OfJob(t.look.kjob).Suspended {
		// Without its words the rest of the story is as true.
		t.look.admission, _ = events.NewKueue(kube).Says(ctx, t.look.kjob.Namespace, t.look.kjob.UID)
	}
	s.Now, s.Advice = outlook(t.look.facts(s), s, t.said)
	return s, nil
}

// graceOf is the termination grace of a kjob's pod, which a template of today need not
// have; 0 if it isn't known.
func graceOf(k *batchv1.Job) time.Duration {
	if k == nil || k.Spec.Template.Spec.TerminationGracePeriodSeconds == nil {
		return 0
	}
	return time.Duration(*k.Spec.Template.Spec.TerminationGracePeriodSeconds) * time.Second
}

// stateOf is Buildkite's state of a job, or why it isn't known.
func stateOf(ctx context.Context, client *stacks.Client, id contract.JobID) (state stacks.State, unknown string) {
	if client == nil {
		return "", "no token or configuration given"
	}
	states, err := client.States(ctx, []contract.JobID{id})
	switch {
	case errors.Is(err, stacks.ErrNotFound):
		return "", NoStack
	case err != nil:
		return "", err.Error()
	}
	if state = states[id]; state == stacks.StateUnknown {
		unknown = "Buildkite doesn't know this job in this cluster"
	}
	return state, unknown
}

func podOfKjob(pods []corev1.Pod, k *batchv1.Job) *corev1.Pod {
	for i := range pods {
		if kjob.OwnerUID(&pods[i]) == k.UID {
			return &pods[i]
		}
	}
	return nil
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) + " UTC" }

func notEmpty(ss ...string) []string {
	return slices.DeleteFunc(ss, func(s string) bool { return s == "" })
}
