package contract

// AgentContainer is the container of a job's pod that runs the runner. Its end
// is the attempt's end.
const AgentContainer = "agent"

// ManagedBy is the value of the label app.kubernetes.io/managed-by on all that
// onejob makes, and the source of its Events.
const ManagedBy = "onejob"

// A step that names an image of its own has a second container in its pod. It runs
// the command in that image, and never has the agent token:
//
//	init  onejob-step  copies our programs into StepDir
//	agent              the runner: acquires the job and checks it out
//	command            runs the command, for the runner
//
// A step whose kubernetes plugin has several containers with a command has one of these
// for each, with the step's own name behind a hyphen (CommandName). They run one after the
// other, until one fails.
const (
	CommandContainer = "command"
	// StepInit is the init container, and the volume at StepDir.
	StepInit = "onejob-step"
	// StepProgram is what the first and the last of them run.
	StepProgram = "onejob-step"
	// StepDir is the folder that all three share.
	StepDir = "/onejob"
)
