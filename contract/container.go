package contract

// AgentContainer is the container of a job's pod that runs the runner. Its end
// is the attempt's end.
const AgentContainer = "agent"

// ManagedBy is the value of the label app.kubernetes.io/managed-by on all that
// onejob makes, and the source of its Events.
const ManagedBy = "onejob"
