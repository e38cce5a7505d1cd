package config

// The values of Queue.Unmatched.
const (
	UnmatchedNotify = "notify"
	UnmatchedFail   = "fail"
	UnmatchedIgnore = "ignore"
)

// The values of Queue.Steps.
const (
	StepsPod   = "pod"
	StepsImage = "image"
	StepsPlain = "plain"
)

// The values of Queue.Programs.
const (
	ProgramsCopy        = "copy"
	ProgramsImageVolume = "image-volume"
)

// The values of Queue.AnnotateUsage.
const (
	AnnotateAll      = "all"
	AnnotateVerdicts = "verdicts"
	AnnotateNone     = "none"
)

// The values of Queue.LostJobs.
const (
	LostLeave  = "leave"
	LostFinish = "finish"
)
