package assumptions

// Unplayed are the questions without a field in Profile: no call of onejob's depends on the
// answer, or a simulator can't play it.
var Unplayed = []Assumption{
	{Name: "agent-with-job", Question: "What is the answer to an acquire by an agent that has another job?",
		Why:     "A session of onejob asks for one job, once in its life.",
		Settles: "Acquire two jobs with one agent."},
	{Name: "disconnected-agent", Question: "What is the answer to a heartbeat of an agent that disconnected?",
		Why:     "A runner makes no call after its disconnect, except the same again.",
		Settles: "Disconnect, heartbeat."},
	{Name: "other-bytes", Question: "What is the answer to a log chunk with a number that was used for other bytes?",
		Why:     "The runner never does, and the simulator's ledger says so if it did.",
		Settles: "Send two chunks with one sequence."},
	{Name: "largest-environment", Question: "How large may a job's environment be?",
		Why:     "The limit is that of the operating system under the runner, and no call of Buildkite's.",
		Settles: "A step with 128 KB in a variable."},
	{Name: "stack-key-scope", Question: "Is one stack key in two clusters of an organization one stack?",
		Why:     "A simulator has one cluster. The key of an installation is its own.",
		Settles: "Register one key with the tokens of two clusters."},
	{Name: "limit-text", Question: "What does the 403 beyond the limit of stacks say?",
		Why:     "No text is branched on: a 403 to a register is shown with Buildkite's words, as the limit and as a token that may not.",
		Settles: "Register 31 stacks."},
}
