package operate

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// teller writes a story, one attempt after the other.
type teller struct {
	kube  kube.Client
	story Story
	look  look         // at the last attempt that is there
	told  int          // the attempt that is told of
	last  *batchv1.Job // of the job's last attempt
	said  corev1.Event // by onejob, last, of attempts whose kjobs are gone or were never let in
}

// tellAttempt adds a kjob and its pod, and the Events of earlier attempts that are
// gone.
func (t *teller) tellAttempt(ctx context.Context, k *batchv1.Job) error {
	first := t.told == 0
	for t.told++; t.told < kjob.AttemptOf(k); t.told++ {
		if _, err := t.tellEvents(ctx, k.Namespace, "Job", contract.KjobName(t.story.JobID, t.told)); err != nil {
			return err
		}
	}
	pod := podOfKjob(t.look.pods, k)
	row := rowOf(k, pod, t.last)
	if row.URL != "" {
		t.story.URL = row.URL
	}
	if first {
		t.add(rankScheduled-t.told*ranks, kjob.JobOf(k).ScheduledAt, "buildkite", "made the job, or the one that uploaded it")
	}
	t.add(rankMade, k.CreationTimestamp.Time, "onejob", "made %s for attempt %d", k.Name, kjob.AttemptOf(k))
	for _, c := range k.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue && c.Type == batchv1.JobSuspended:
			t.add(rankKJob, c.LastTransitionTime.Time, "kubernetes", "%s: no longer suspended", k.Name)
		case c.Status == corev1.ConditionTrue:
			t.add(rankKJob, c.LastTransitionTime.Time, "kubernetes", "%s: %s", k.Name, decide.Phrase(contract.Word(string(c.Type)), decide.InWords(contract.Word(c.Reason), strings.Join(notEmpty(contract.Word(c.Reason), contract.Sentence(c.Message)), ", "))))
		}
	}
	found, err := t.tellEvents(ctx, k.Namespace, "Job", k.Name)
	if pod == nil {
		for _, u := range row.Used {
			t.tellUsed(u, "container "+u.Container, endOf(k, nil))
		}
	}
	if err == nil && pod != nil {
		t.tellPod(pod)
		found, err = t.tellEvents(ctx, k.Namespace, "Pod", pod.Name)
		start := startOf(k, pod, found)
		row.Start, row.StartSeconds = contract.Sentence(start.Text()), start.Total().Seconds()
	}
	t.story.Attempts = append(t.story.Attempts, row)
	t.look.kjob, t.look.pod, t.look.events = k, pod, found
	return err
}

// tellUnseen tells what was said of attempts after those that are there.
func (t *teller) tellUnseen(ctx context.Context, namespace string) error {
	for t.told++; ; t.told++ {
		events, err := t.tellEvents(ctx, namespace, "Job", contract.KjobName(t.story.JobID, t.told))
		if err != nil || len(events) == 0 {
			return err
		}
		for _, e := range events {
			if e.Source.Component == contract.ManagedBy {
				t.said = e
			}
		}
	}
}

// add adds a line, if it is known when that was.
func (t *teller) add(rank int, at time.Time, who, format string, args ...any) {
	if !at.IsZero() {
		t.story.Lines = append(t.story.Lines, StoryLine{at, who, fmt.Sprintf(format, args...), t.told*ranks + rank})
	}
}

func (t *teller) tellEvents(ctx context.Context, namespace, kind, name string) ([]corev1.Event, error) {
	es, err := events.On(ctx, t.kube, namespace, kind, name)
	for _, e := range es {
		who, rank := e.Source.Component, rankEvent
		if who == "" {
			who = e.ReportingController
		}
		if who == contract.ManagedBy {
			rank = rankDecided
		}
		t.add(rank, events.Time(e), who, "%s: %s", e.Reason, e.Message)
	}
	return es, err
}

func (t *teller) tellPod(p *corev1.Pod) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			t.add(rankEvent, c.LastTransitionTime.Time, "kubernetes", "assigned the pod to node %s", p.Spec.NodeName)
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		what, m := "the container", decide.OfPod(p).Message
		if c.Name != contract.AgentContainer {
			what, m = "container "+c.Name, nil
		}
		if r := c.State.Running; r != nil {
			t.add(rankPod, r.StartedAt.Time, "kubelet", "started %s", what)
		}
		if end := c.State.Terminated; end != nil {
			t.add(rankPod, end.StartedAt.Time, "kubelet", "started %s", what)
			if m != nil {
				t.tellMessage(m, end.FinishedAt.Time)
			}
			for _, u := range decide.OfPod(p).Used {
				if u.Container == contract.Word(c.Name) {
					t.tellUsed(u, what, end.FinishedAt.Time)
				}
			}
			t.add(rankEnd, end.FinishedAt.Time, "kubelet", "%s ended with %d %s", what, end.ExitCode, contract.Word(end.Reason))
		}
	}
}

// tellUsed is a container's own account of what it used.
func (t *teller) tellUsed(u decide.Used, what string, end time.Time) {
	if text := u.String(); text != "" {
		t.add(rankRunner, end, "runner", "%s used %s", what, text)
	}
}

// tellMessage is the runner's own account.
func (t *teller) tellMessage(m *contract.Message, end time.Time) {
	for _, ph := range m.Phases {
		t.add(rankRunner, ph.Start, "runner", "%s, for %.1f s", ph.Name, ph.Seconds)
	}
	what := decide.OutcomeOf(m)
	if m.Received != "" {
		what += "; it was sent " + m.Received
	}
	for _, call := range []string{"register", "connect", "acquire", "start", "finish"} { // of the others there are always many
		if n := m.Tries[call]; n > 1 {
			what += fmt.Sprintf("; %s after %d tries", call, n)
		}
	}
	if n := m.LogChunksFailed; n > 0 {
		what += fmt.Sprintf("; %d chunks of the log are missing", n)
	}
	if m.NotBefore != nil {
		what += "; Buildkite wants no other attempt before " + clock(*m.NotBefore)
	}
	t.add(rankRunner, end, "runner", "%s", what)
}
