package decide

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// A row begins with what happened, and Kubernetes' code for it is only beside that.
func TestPhaseOfAnEnd(t *testing.T) {
	failed := func(reason, message string) KJob {
		return KJob{Exists: true, Finished: true, PodSeen: true, FailReason: reason, FailMessage: message}
	}
	backoff := failed(backoffLimitExceeded, "Job has reached the specified backoff limit")
	over := func(why, said string) Pod {
		return Pod{Phase: corev1.PodFailed, Node: "n", Started: true, Exited: true, Ended: true, ExitCode: 137, Why: why, WhyMessage: said}
	}
	for _, tt := range []struct {
		name          string
		k             KJob
		p             Pod
		phase, reason string
	}{
		{"its pod is gone", backoff, Pod{}, "failed", "the pod failed or was deleted, and nobody saw why (BackoffLimitExceeded)"},
		{"its pod is gone, at the deadline", failed("DeadlineExceeded", "Job was active longer than specified deadline"), Pod{}, "failed", "its time was up: DeadlineExceeded, Job was active longer than specified deadline"},
		{"a code that nobody knows", failed("Tuesday", ""), Pod{}, "failed", "Tuesday"},
		{"no code", failed("", ""), Pod{}, "failed", "the pod was deleted"},
		{"evicted", backoff, over("Evicted", "the node was low on memory"), "lost", "it was evicted: Evicted, exit code 137, the node was low on memory"},
		{"out of memory", backoff, over("OOMKilled", ""), "lost", "it ran out of memory: OOMKilled, exit code 137"},
		{"by itself", backoff, over("", ""), "lost", "exit code 137"},
	} {
		if phase, reason := PhaseOf(tt.k, tt.p); phase != tt.phase || reason != tt.reason {
			t.Errorf("%s: got %s: %s, want %s: %s", tt.name, phase, reason, tt.phase, tt.reason)
		}
	}
	for code, words := range endWords {
		if strings.Contains(words, code) || !strings.Contains(words, " ") {
			t.Errorf("%s is no sentence about %s", words, code)
		}
	}
}

// When the pod is gone, the kjob of the next attempt says why.
func TestPhaseTold(t *testing.T) {
	k := KJob{Exists: true, Finished: true, PodSeen: true, FailReason: backoffLimitExceeded}
	done := k
	done.Succeeded, done.FailReason = true, ""
	stopped := Past{Reason: ReasonStopped, Attempt: 1, Text: "attempt 1 was stopped before it acquired the job (EvictionByEvictionAPI)"}
	lost := Past{Reason: ReasonLost, Attempt: 1, Text: "the pod of attempt 1 was lost"}
	there := Pod{Phase: corev1.PodFailed, Node: "n", Exited: true, Ended: true, ExitCode: 1}
	const unseen = "the pod failed or was deleted, and nobody saw why (BackoffLimitExceeded)"
	for _, tt := range []struct {
		name          string
		k             KJob
		p             Pod
		attempt, last int
		told          History
		phase, reason string
	}{
		{"evicted, another follows", k, Pod{}, 1, 2, History{stopped}, "ended", "stopped, attempt 2 follows: " + stopped.Text},
		{"evicted, another is to follow", k, Pod{}, 1, 1, History{stopped}, "ended", "stopped: " + stopped.Text},
		{"lost", k, Pod{}, 1, 2, History{lost}, "lost", "pod_lost, attempt 2 follows: the pod of attempt 1 was lost"},
		{"its pod tells", k, there, 1, 2, History{lost}, "lost", "exit code 1; attempt 2 follows"},
		{"of another attempt", k, Pod{}, 2, 2, History{lost}, "failed", unseen},
		{"a gap", k, Pod{}, 3, 9, History{{Reason: leftOut, Attempt: 3}}, "failed", unseen + "; attempt 4 follows"},
		{"a line of an older release", k, Pod{}, 1, 2, History{{Text: "attempt 1 was lost"}}, "failed", unseen + "; attempt 2 follows"},
		{"no text", k, Pod{}, 1, 1, History{{Reason: ReasonRejected, Attempt: 1}}, "ended", "rejected (BackoffLimitExceeded)"},
		{"it was reported", k, Pod{}, 1, 1, History{{Reason: ReasonFinished, Attempt: 1}}, "done", ""},
		{"done", done, Pod{}, 1, 1, History{{Reason: ReasonFinished, Attempt: 1}}, "done", ""},
	} {
		if phase, reason := PhaseTold(tt.k, tt.p, tt.attempt, tt.last, tt.told); phase != tt.phase || reason != tt.reason {
			t.Errorf("%s: got %s: %s, want %s: %s", tt.name, phase, reason, tt.phase, tt.reason)
		}
	}
}

// That a kjob failed because its pod did says nothing about why the pod was stopped.
func TestStopWhyIsNoConsequence(t *testing.T) {
	f := Facts{KJob: KJob{Finished: true, FailReason: backoffLimitExceeded, FailMessage: "Job has reached the specified backoff limit"}}
	if got := StopReason(f); got != "the pod was deleted" {
		t.Errorf("got %q", got)
	}
	f.Warnings = []Warning{{Reason: "Evicted", Message: "the node was low on memory"}}
	if got := StopReason(f); got != "Evicted, the node was low on memory" {
		t.Errorf("got %q, though an Event says why", got)
	}
}

// A Kubernetes Job is over only when its pod is, but two watches tell of them. What the
// runner says is waited for, and not for ever.
func TestPodsEndMayComeLate(t *testing.T) {
	f := aKJob().Running().Ended().State(stacks.StateScheduled).but(func(f *Facts) { f.KJob.Finished = true }).Facts
	if d := On(f); d.Action != None || d.Reason != "" || !d.Again.Equal(f.EndedAt.Add(statusLag)) {
		t.Errorf("at once: %+v", d)
	}
	late := f
	if late.Now = f.EndedAt.Add(statusLag); On(late).Action == None {
		t.Errorf("the pod's end is never told: %+v", On(late))
	}
	told := aKJob().Exits(contract.ExitTerminated).State(stacks.StateScheduled).Facts
	if d := On(told); d.Reason != ReasonStopped {
		t.Errorf("when it is told: %+v", d)
	}
}
