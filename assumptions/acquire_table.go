package assumptions

// acquireTable has the questions about acquiring.
var acquireTable = []Assumption{
	{
		Name: "unstarted-job", Question: "What becomes of a job that its agent doesn't start in time?",
		Sides: []Side{
			{string(UnstartedJobOfferedAgain), "After 30 s it is scheduled again, and any agent may acquire it.",
				"No start is sent later than 25 s after the job was asked for, unless its state is still accepted; a runner that finds its job taken back leaves it alone, and the job is run by a new attempt."},
			{string(UnstartedJobFinished), "After 30 s it ends with -1.",
				"The same; the job is over, and nothing of it ran. A retry rule for -1 runs it again."},
			{string(UnstartedJobKept), "Nothing: it stays with the agent.",
				"The start is tried for as long as the state is accepted. A pod that is lost before its start holds the job until Buildkite loses the agent."},
		},
		Settles: "Acquire, never start; ask for the job's state with its token and by get-states, and list, for five minutes.",
	},
	{
		Name: "unstarted-job-token", Question: "Does the token of a job that was taken back still work?",
		Sides: []Side{
			{string(UnstartedJobTokenRefused), "401 to everything.",
				"The runner knows by the 401 that the job isn't its own."},
			{string(UnstartedJobTokenReadsState), "It reads the job's state, as before; start and finish are 422.",
				"A job that is running counts as the runner's only if one of its starts was on the wire in time."},
		},
		Settles: "As above: GET jobs/:id and start with the old token after the state has changed.",
	},
	{
		Name: "disconnect-accepted", Question: "What does a disconnect do to a job that is acquired and not started?",
		Sides: []Side{
			{string(DisconnectAcceptedEndsJob), "It ends at once with -1.",
				"A runner that can't know whether it has the job disconnects; the job has then failed without having run, and a retry rule for -1 runs it again."},
			{string(DisconnectAcceptedLostLater), "It ends with -1 when the agent counts as lost, three to four minutes later.",
				"The same, later. The scheduler waits while an agent holds the job, and makes no further pod."},
			{string(DisconnectAcceptedOfferedAgain), "It is scheduled again.",
				"The job is run by a new attempt."},
		},
		Settles: "Acquire a job, disconnect; get-states and the list, for five minutes.",
	},
	{
		Name: "disconnect-running", Question: "What does a disconnect do to a job that runs?",
		Sides: []Side{
			{string(DisconnectRunningEndsJob), "It ends at once with -1.",
				"A runner disconnects from a running job only if its result couldn't be delivered; the job has then failed."},
			{string(DisconnectRunningLostLater), "It ends with -1 when the agent counts as lost, three to four minutes later.",
				"The same, later. The scheduler makes no further pod."},
		},
		Settles: "Start a job, disconnect; get-states for five minutes.",
	},
	{
		Name: "disconnect-reason", Question: "Which signal_reason has a job that a disconnect ended?",
		Sides: []Side{
			{string(DisconnectReasonNone), "None.",
				"Nothing: onejob reads no reason of Buildkite's. A retry rule for exit_status -1 matches."},
			{string(DisconnectReasonAgentStop), "agent_stop.",
				"The same: the rule for exit_status -1 matches under both."},
		},
		Settles: "As above, in steps with retry rules for -1 and for agent_stop; see which are retried.",
	},
	{
		Name: "locked-states", Question: "In which states is an acquire answered with 423?",
		Sides: []Side{
			{string(LockedStatesAllWaiting), "In each that waits.",
				"The pod tries again, then ends with 28; the next attempt comes when Buildkite offers the job."},
			{string(LockedStatesDependencies), "In pending and waiting; in the others it is 422.",
				"After 423 the same. After 422 the pod ends with 27; the scheduler waits, because the job isn't offered, and the next attempt comes when Buildkite offers it."},
		},
		Settles: "Acquire jobs that wait for a step, for a concurrency group and for a block step.",
	},
	{
		Name: "locked-retry-after", Question: "Does a 423 come with Retry-After?",
		Sides: []Side{
			{string(LockedRetryAfterNone), "No.",
				"The runner waits as its own backoff says."},
			{string(LockedRetryAfterSent), "Yes, of 5 seconds.",
				"The runner waits no less."},
		},
		Settles: "The same calls: read the header.",
	},
	{
		Name: "acquire-again", Question: "What is the answer to a second acquire by the agent that holds the job?",
		Sides: []Side{
			{string(AcquireAgainRefused), "422.",
				"After a lost reply the 422 is no proof of anything: the runner asks for the job's state, and leaves if it can't tell."},
			{string(AcquireAgainGranted), "The job again.",
				"A lost reply costs nothing: the runner asks again, and has the job."},
		},
		Settles: "Acquire twice.",
	},
	{
		Name: "acquire-unconnected", Question: "May an agent acquire before it has connected?",
		Sides: []Side{
			{string(AcquireUnconnectedGranted), "Yes.",
				"The runner connects before it acquires, and leaves if it can't."},
			{string(AcquireUnconnectedRefused), "No: 422.",
				"The same."},
		},
		Settles: "Register, acquire.",
	},
	{
		Name: "acquire-paused", Question: "May a job be acquired while its queue is paused?",
		Sides: []Side{
			{string(AcquirePausedGranted), "Yes.",
				"The scheduler makes no new pods while the queue is paused. Those that are there run their jobs."},
			{string(AcquirePausedRefused), "No: 422.",
				"Pods that are there end with 27, and their jobs get a new attempt once the queue goes on."},
		},
		Settles: "Pause the queue, acquire.",
	},
	{
		Name: "acquire-other-queue", Question: "May an agent acquire a job of another queue?",
		Sides: []Side{
			{string(AcquireOtherQueueNotFound), "No: 404.",
				"A runner registers under the key that the registration of its queue returned, so that it never asks for such a job."},
			{string(AcquireOtherQueueGranted), "Yes.",
				"The same."},
		},
		Settles: "Register with the tag of one queue, acquire a job of another one of the same cluster.",
	},
	{
		Name: "register-unknown-queue", Question: "What becomes of an agent whose tag names no queue?",
		Sides: []Side{
			{string(RegisterUnknownQueueRefused), "It is refused with 422.",
				"The runner ends with 77. The scheduler finds out about the queue first: its own registration is 404, and the queue stops with a hint."},
			{string(RegisterUnknownQueueDefaultQueue), "It gets the default queue.",
				"The runner's acquire is then 404, and it ends with 27. The scheduler finds out first, as above."},
		},
		Settles: "Register with queue=no-such-queue.",
	},
}
