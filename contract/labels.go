package contract

import (
	"strconv"
	"strings"
)

// Labels of kjobs and their pods.
const (
	// LabelJobID is the Buildkite job's UUID. Warm placeholders have none.
	LabelJobID = "onejob.dev/job-id"
	// LabelAttempt is the attempt's number, from 1.
	LabelAttempt = "onejob.dev/attempt"
	// LabelQueue is the queue's key; every object of onejob has it.
	LabelQueue = "onejob.dev/queue"
	// LabelInstallation is whose kjob it is, where two installations share a namespace:
	// the namespace and the name of the scheduler's Lease. Objects of releases before
	// have none.
	LabelInstallation = "onejob.dev/installation"
	// LabelOnTerm is "drain" on pods that run on at SIGTERM; the budget of deploy/drain
	// selects them. Other pods don't have it.
	LabelOnTerm = "onejob.dev/on-term"
)

// Annotations of kjobs, for people and for `onejob explain`.
const (
	AnnotationJobURL    = "onejob.dev/job-url"
	AnnotationPipeline  = "onejob.dev/pipeline"
	AnnotationBuild     = "onejob.dev/build"
	AnnotationBranch    = "onejob.dev/branch"
	AnnotationStep      = "onejob.dev/step"
	AnnotationClass     = "onejob.dev/resource-class"
	AnnotationPriority  = "onejob.dev/priority"
	AnnotationScheduled = "onejob.dev/scheduled-at"
	// AnnotationPodTemplate is the PodTemplate that the step named.
	AnnotationPodTemplate = "onejob.dev/pod-template"
	// AnnotationMadeAt on a kjob is when its create was sent, by the sender's clock.
	AnnotationMadeAt = "onejob.dev/made-at"
	// AnnotationWaited on a kjob is how long its job could run before the create was sent
	// ("3.2s"). A first attempt has it whose job was seen to come.
	AnnotationWaited = "onejob.dev/waited"
	// AnnotationStory on a kjob is what became of the attempts before it, a line
	// each: the reason, the attempt's number, the time and a text, with tabs between.
	AnnotationStory = "onejob.dev/story"
	// AnnotationNodeFaults on a kjob are the nodes on which attempts before it
	// failed, and why: node=why,…
	AnnotationNodeFaults = "onejob.dev/node-faults"
	// AnnotationUsed on a kjob is what the containers used that ran its job's commands, in
	// JSON. The kjob may outlive its pod, which says the same.
	AnnotationUsed = "onejob.dev/used"
	// AnnotationImage on a pod is the image that its command has a container of its own
	// for. A container of that name in another pod isn't ours.
	AnnotationImage = "onejob.dev/image"
	// AnnotationCancel on a kjob, deleted or not, says who cancelled the job and why:
	// the job is finished with this text and gets no new attempt.
	AnnotationCancel = "onejob.dev/cancel"
)

// AnnotationHold on a pod is how long its containers are to stay when the job is over, as
// people ask while it runs; 0s has them end. The kubelet shows it to the runner as the
// file HoldFile of the volume HoldVolume at HoldDir, where the queue allows that.
const (
	AnnotationHold = "onejob.dev/hold"
	HoldVolume     = "onejob-hold"
	HoldDir        = "/run/onejob-hold"
	HoldFile       = "for"
)

// Annotations of the Events that onejob writes.
const (
	// AnnotationReason is the reason of the decision that an Event is about, one of
	// those of onejob_decisions_total.
	AnnotationReason = "onejob.dev/reason"
	// AnnotationTopic tells Events of the same reason apart.
	AnnotationTopic = "onejob.dev/topic"
)

// namePrefix begins the name of every kjob.
const namePrefix = "onejob-"

// KjobName is the name of a job's kjob. It is a pure function, because the name is the
// lock that keeps two schedulers from making one attempt twice.
func KjobName(id JobID, attempt int) string {
	if attempt <= 1 {
		return namePrefix + id.String()
	}
	return namePrefix + id.String() + "-" + strconv.Itoa(attempt)
}

// ParseKjobName is the inverse of KjobName.
func ParseKjobName(name string) (JobID, int, bool) {
	rest, ok := strings.CutPrefix(name, namePrefix)
	if !ok || len(rest) < 36 {
		return "", 0, false
	}
	id, err := ParseJobID(rest[:36])
	if err != nil {
		return "", 0, false
	}
	attempt := 1
	if tail := rest[36:]; tail != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(tail, "-"))
		if err != nil || n < 2 {
			return "", 0, false
		}
		attempt = n
	}
	if KjobName(id, attempt) != name {
		return "", 0, false
	}
	return id, attempt, true
}
