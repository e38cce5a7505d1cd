package operate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
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

// The ranks order what happened in one second, which is as fine as the times
// of Kubernetes are: those of one attempt, then those of the next.
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
const NoStack = "Buildkite knows no such job of this queue, or not the queue's stack, which a scheduler registers when it first serves the queue"

// Explain tells a job's story from what is in the cluster and, unless client is
// nil, Buildkite's state.
func Explain(ctx context.Context, kube kube.Client, client *stacks.Client, namespace string, id contract.JobID, p decide.Policy) (Story, error) {
	s := Story{JobID: id}
	asked := time.Now()
	if client == nil {
		s.StateError = "no token or configuration given"
	} else if states, err := client.States(ctx, []contract.JobID{id}); errors.Is(err, stacks.ErrNotFound) {
		s.StateError = NoStack
	} else if err != nil {
		s.StateError = err.Error()
	} else if s.State = states[id]; s.State == stacks.StateUnknown {
		s.StateError = "Buildkite doesn't know this job in this cluster"
	}
	kjobs, pods, err := objectsOf(ctx, kube, namespace, id)
	if err != nil {
		return s, err
	}
	l := look{asked: asked, now: time.Now(), policy: p, pods: pods}
	told := 0
	add := func(rank int, t time.Time, who, format string, args ...any) {
		if !t.IsZero() {
			s.Lines = append(s.Lines, StoryLine{t, who, fmt.Sprintf(format, args...), told*ranks + rank})
		}
	}
	for i := range kjobs {
		k := &kjobs[i]
		for told++; told < kjob.AttemptOf(k); told++ { // gone, but not what was said of them
			if _, err := s.tellEvents(ctx, kube, k.Namespace, "Job", contract.KjobName(id, told), add); err != nil {
				return s, err
			}
		}
		pod := podOfKjob(pods, k)
		s.Attempts = append(s.Attempts, rowOf(k, pod))
		if u := s.Attempts[len(s.Attempts)-1].URL; u != "" {
			s.URL = u
		}
		if at := kjob.JobOf(k).ScheduledAt; i == 0 {
			add(rankScheduled-told*ranks, at, "buildkite", "scheduled the job")
		}
		add(rankMade, k.CreationTimestamp.Time, "onejob", "made %s for attempt %d", k.Name, kjob.AttemptOf(k))
		for _, c := range k.Status.Conditions {
			switch {
			case c.Status != corev1.ConditionTrue && c.Type == batchv1.JobSuspended:
				add(rankKJob, c.LastTransitionTime.Time, "kubernetes", "%s: no longer suspended", k.Name)
			case c.Status == corev1.ConditionTrue:
				add(rankKJob, c.LastTransitionTime.Time, "kubernetes", "%s: %s", k.Name, strings.Join(notEmpty(contract.Word(string(c.Type)), contract.Word(c.Reason), contract.Sentence(c.Message)), ", "))
			}
		}
		found, err := s.tellEvents(ctx, kube, k.Namespace, "Job", k.Name, add)
		if err == nil && pod != nil {
			tellPod(pod, add)
			found, err = s.tellEvents(ctx, kube, k.Namespace, "Pod", pod.Name, add)
		}
		if err != nil {
			return s, err
		}
		l.kjob, l.pod, l.events = k, pod, found
	}
	var said corev1.Event // by onejob, last, of attempts whose kjobs are gone or were never let in
	for told++; ; told++ {
		events, err := s.tellEvents(ctx, kube, namespace, "Job", contract.KjobName(id, told), add)
		if err != nil {
			return s, err
		}
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			if e.Source.Component == contract.ManagedBy {
				said = e
			}
		}
	}
	slices.SortStableFunc(s.Lines, func(a, b StoryLine) int {
		return cmp.Or(a.Time.Truncate(time.Second).Compare(b.Time.Truncate(time.Second)), a.rank-b.rank)
	})
	if l.kjob != nil && decide.OfJob(l.kjob).Suspended {
		// Without its words the rest of the story is as true.
		l.admission, _ = events.NewKueue(kube).Says(ctx, l.kjob.Namespace, l.kjob.UID)
	}
	s.Now, s.Advice = outlook(l.facts(s), s, said)
	return s, nil
}

func podOfKjob(pods []corev1.Pod, k *batchv1.Job) *corev1.Pod {
	for i := range pods {
		if kjob.OwnerUID(&pods[i]) == k.UID {
			return &pods[i]
		}
	}
	return nil
}

type adder func(rank int, t time.Time, who, format string, args ...any)

func (s *Story) tellEvents(ctx context.Context, kube kube.Client, namespace, kind, name string, add adder) ([]corev1.Event, error) {
	es, err := events.On(ctx, kube, namespace, kind, name)
	for _, e := range es {
		who, rank := e.Source.Component, rankEvent
		if who == "" {
			who = e.ReportingController
		}
		if who == contract.ManagedBy {
			rank = rankDecided
		}
		add(rank, events.Time(e), who, "%s: %s", e.Reason, e.Message)
	}
	return es, err
}

func tellPod(p *corev1.Pod, add adder) {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			add(rankEvent, c.LastTransitionTime.Time, "kubernetes", "gave the pod the node %s", p.Spec.NodeName)
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		what, m := "the container", decide.OfPod(p).Message
		if c.Name != contract.AgentContainer {
			what, m = "container "+c.Name, nil
		}
		if r := c.State.Running; r != nil {
			add(rankPod, r.StartedAt.Time, "kubelet", "started %s", what)
		}
		if t := c.State.Terminated; t != nil {
			add(rankPod, t.StartedAt.Time, "kubelet", "started %s", what)
			if m != nil {
				tellMessage(m, t.FinishedAt.Time, add)
			}
			add(rankEnd, t.FinishedAt.Time, "kubelet", "%s ended with %d %s", what, t.ExitCode, contract.Word(t.Reason))
		}
	}
}

// tellMessage is the runner's own account.
func tellMessage(m *contract.Message, end time.Time, add adder) {
	for _, ph := range m.Phases {
		add(rankRunner, ph.Start, "runner", "%s, for %.1f s", ph.Name, ph.Seconds)
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
		what += fmt.Sprintf("; chunks of the log that are missing: %d", n)
	}
	if m.NotBefore != nil {
		what += "; Buildkite asks for no other attempt before " + clock(*m.NotBefore)
	}
	add(rankRunner, end, "runner", "%s", what)
}

func clock(t time.Time) string { return t.UTC().Format(time.TimeOnly) + " UTC" }

func notEmpty(ss ...string) []string {
	return slices.DeleteFunc(ss, func(s string) bool { return s == "" })
}

// adviceFinished is for a job that onejob finishes.
const adviceFinished = "mend what it says, then retry the job on Buildkite"

// outlook says what is being waited for, with the scheduler's own decision, or
// of a job without a kjob with what it said last.
func outlook(f decide.Facts, s Story, said corev1.Event) (now, advice string) {
	if f.Attempt == 0 {
		return outlookWithoutKjob(s, said)
	}
	if f.State.Over() && f.KJob.Finished {
		return "nothing: the job is " + string(f.State), "nothing"
	}
	d := decide.On(f)
	if f.KJob.Exists && !f.KJob.Finished && f.State.Offered() && f.Pod.Terminating && d.Action == decide.None {
		if !d.Waiting {
			return "the end of the pod, which was told to stop: " + decide.StopReason(f), "nothing"
		}
		return d.Text, "look at its node; if that is dead, delete the Node object or taint it node.kubernetes.io/out-of-service"
	}
	if f.KJob.Exists && !f.KJob.Finished && f.Pod.Started && !f.Pod.Over() {
		switch {
		case f.State.Over():
			return "the pod's end: the job is " + string(f.State), "nothing: a pod that goes on is deleted"
		case d.Waiting:
			return d.Text, "look at the pod's log, and at the image and the command in the queue's template"
		case d.Action == decide.None || d.Action == decide.Ask:
			return "the runner is at work", "nothing"
		}
	}
	if d.Action == decide.None && f.KeptOut() && !f.State.Held() && !f.State.Over() {
		return keptOut(f, d)
	}
	switch d.Action {
	case decide.Attempt:
		now = "a new attempt will be made"
		if d.Text != "" {
			now += ": " + d.Text
		}
		if d.NotBefore.After(f.Now) {
			now += "; not before " + clock(d.NotBefore)
		}
		return now, "nothing, or `onejob reacquire` if no scheduler runs"
	case decide.Ask:
		return "Buildkite's state decides what comes next, and it is not known: " + s.StateError, "give --config and a token"
	case decide.Finish:
		return "the job will be finished: " + d.Text, adviceFinished
	case decide.Delete:
		return "its kjob will be deleted: " + string(d.Reason), "nothing"
	}
	phase, reason := decide.PhaseOf(f.KJob, f.Pod)
	now = strings.TrimSuffix("the last attempt is "+phase+": "+reason, ": ")
	if d.Text != "" {
		now = d.Text
	}
	taken := f.State.Held() || f.State.Over()
	if !d.Again.IsZero() && !taken && !f.KJob.Terminating && !f.Pod.Over() && !f.Podless() {
		return now, "mend what it says, or wait; the job is finished with this reason if the pod doesn't start in time (pending-timeout, image-grace)"
	}
	return now, "nothing"
}

// keptOut is for a kjob that somebody holds: what to do about it isn't onejob's to say.
func keptOut(f decide.Facts, d decide.Decision) (now, advice string) {
	if now = d.Text; now == "" {
		now = "waiting to be let in"
	}
	now += ", since " + clock(f.KeptOutSince())
	if most := f.Policy.SuspendedTimeout; most > 0 {
		return now, fmt.Sprintf("wait, or ask who holds it; the job is finished if it isn't let in within %s (suspended-timeout)", most)
	}
	return now, "wait, or ask who holds it; pending-timeout begins when it is let in"
}

func outlookWithoutKjob(s Story, said corev1.Event) (now, advice string) {
	switch {
	case s.State.Offered() && said.Reason == events.Waiting && events.Told(said).Reason == decide.ReasonNotCreated:
		return "its kjob is " + said.Message, "mend what it says, or wait; `onejob reacquire` would be refused as well"
	case s.State.Offered():
		return "the job waits for a free slot, or for a scheduler that serves its queue", "look at max-in-flight, at the queue's tags and at whether the queue is paused; `onejob reacquire` makes a kjob at once"
	case s.State.Over() && said.Reason == events.Finished:
		return "nothing: the job is " + string(s.State) + ": " + said.Message, adviceFinished
	case s.State.Over() && len(s.Lines) > 0:
		return "nothing: the job is " + string(s.State) + ", and its kjobs are gone", "nothing"
	case s.State != "":
		return "the job is " + string(s.State) + " and has no kjob in this namespace", "nothing: another stack or agent has it, or its kjobs' time to live is over"
	}
	now = "there is no kjob, and Buildkite's state is not known: " + s.StateError
	if said.Message != "" {
		now += "; onejob's last word on it: " + said.Message
	}
	return now, "see that a scheduler serves the queue, that --config and a token are given, and that the namespace is right; `onejob reacquire` needs no scheduler"
}
