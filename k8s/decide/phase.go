package decide

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
)

// endWords are what Kubernetes' codes for the end of a pod or a container mean.
var endWords = map[string]string{
	"OOMKilled":                "it ran out of memory",
	"Evicted":                  "it was evicted",
	"EvictionByEvictionAPI":    "it was evicted",
	"Preempting":               "it made room for a pod with a higher priority",
	"PreemptionByScheduler":    "it made room for a pod with a higher priority",
	"DeletionByTaintManager":   "its node had a taint that it doesn't tolerate",
	"DeletionByPodGC":          "its node is gone",
	"TerminationByKubelet":     "the kubelet ended it",
	"NodeShutdown":             "its node was shut down",
	"Terminated":               "its node was shut down",
	"DeadlineExceeded":         "its time was up",
	startError:                 "its container could not be started",
	"ContainerCannotRun":       "its container could not be started",
	"ContainerStatusUnknown":   "nobody saw its container end",
	"NodeAffinity":             "its node did not take it",
	"OutOfcpu":                 "its node did not take it",
	"OutOfmemory":              "its node did not take it",
	"OutOfpods":                "its node did not take it",
	"UnexpectedAdmissionError": "its node did not take it",
	backoffLimitExceeded:       "its pod failed or was deleted",
}

// backoffLimitExceeded says that a kjob failed because its pod had failed, and so nothing
// of why.
const backoffLimitExceeded = batchv1.JobReasonBackoffLimitExceeded

// unseenFailure is all that is known then, if the pod is gone.
const unseenFailure = "the pod failed or was deleted, and nobody saw why (" + backoffLimitExceeded + ")"

// cause is why Kubernetes ended the kjob, empty if it only follows its pod.
func (k KJob) cause() string {
	if k.FailReason == backoffLimitExceeded {
		return ""
	}
	return k.FailReason
}

// InWords says what a code of Kubernetes' for an end means, before what Kubernetes says.
func InWords(code, said string) string {
	return strings.Join(notEmpty(endWords[code], said), ": ")
}

// end is why an attempt is over whose runner left no message, for a row of a table.
func end(k KJob, p Pod) string {
	return InWords(cmp.Or(p.Why, k.cause()), Loss(Facts{KJob: k, Pod: p}))
}

// Phrase is a phase and its reason in a sentence.
func Phrase(phase, reason string) string { return strings.TrimSuffix(phase+": "+reason, ": ") }

// PhaseTold is PhaseOf for one of a job's attempts, the last of which tells of those
// before. That counts where the attempt's pod, and the runner's message in it, are gone:
// all that Kubernetes says then is that there was a failure.
func PhaseTold(k KJob, p Pod, attempt, last int, told History) (phase, reason string) {
	phase, reason = PhaseOf(k, p)
	next := ""
	if attempt > 0 && attempt < last {
		next = fmt.Sprintf("attempt %d follows", attempt+1)
	}
	i := slices.IndexFunc(told, func(o Past) bool { return o.Attempt == attempt && o.Reason != leftOut })
	if i < 0 || p.Phase != "" || k.Terminating || k.Succeeded {
		return phase, strings.Join(notEmpty(reason, next), "; ")
	}
	return told[i].phase(k, next)
}

// phase is that of an attempt of which only this is known; next is what came then.
func (past Past) phase(k KJob, next string) (phase, reason string) {
	switch past.Reason {
	case ReasonFinished:
		return "done", ""
	case ReasonLost, ReasonLostAfter, ReasonNotRun, ReasonContainer:
		phase = "lost"
	default:
		phase = "ended"
	}
	if reason = string(past.Reason); past.Text == "" && k.FailReason != "" {
		reason += " (" + k.FailReason + ")"
	}
	return phase, Phrase(strings.Join(notEmpty(reason, next), ", "), past.Text)
}

func notEmpty(ss ...string) []string {
	return slices.DeleteFunc(ss, func(s string) bool { return s == "" })
}
