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
//	agent    the runner: acquires the job and checks it out. Its postStart copies our
//	         programs into StepDir; where the template has a postStart of its own, an
//	         init container (StepInit) does; in a queue with programs: image-volume
//	         nobody copies, and a volume of the agent's image has them (StepPrograms)
//	command  runs the command, for the runner
//
// A step whose kubernetes plugin has several containers with a command has one of these
// for each, with the step's own name behind a hyphen (CommandName). They run one after the
// other, until one fails.
const (
	CommandContainer = "command"
	// StepInit is the volume at StepDir, and the init container if there is one.
	StepInit = "onejob-step"
	// StepPrograms is the volume of the agent's image, of which a command container has
	// ProgramsIn, and nothing else of that image.
	StepPrograms = "onejob-programs"
	ProgramsIn   = "usr/local/bin"
	// StepProgram is what copies, and what runs the command.
	StepProgram = "onejob-step"
	// StepDir is the folder that they share, StepBin where the programs are.
	StepDir = "/onejob"
	StepBin = StepDir + "/bin"
)

// A container that may stay when its job is over (EnvHold) shows its variables and volumes
// to whoever looks into it, for as long as it is there. So the runner of such a pod has its
// credentials in files that it can delete: SecretsInit, an init container, writes them into
// the volume of that name, which is in memory, and alone has the variable and the Secrets'
// volumes, these in SecretsFrom. The volume is the runner's, at SecretsDir, and no other
// container's: the agent token (SecretsToken), which the runner deletes when it has read
// it, and a folder of the volume's name for each Secret's, which it deletes when it stays.
const (
	SecretsInit  = "onejob-secrets"
	SecretsDir   = "/run/onejob-secrets"      //nolint:gosec // a folder
	SecretsFrom  = "/run/onejob-secrets-from" //nolint:gosec // a folder
	SecretsToken = SecretsDir + "/token"
)
