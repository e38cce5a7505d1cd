package assumptions

// sessionTable has the questions about an agent and its job.
var sessionTable = []Assumption{
	{
		Name: "session-reads-job", Question: "May the session that acquired a job read its state?",
		Sides: []Side{
			{string(SessionReadsJobAllowed), "Yes.",
				"After a lost reply of acquire the runner learns what became of the job."},
			{string(SessionReadsJobRefused), "No: 401.",
				"The runner can't tell, and disconnects: if it had the job, the job ends or is offered again."},
		},
		Settles: "Acquire, GET jobs/:id with the session token.",
	},
	{
		Name: "start-again", Question: "What is the answer to the same start again?",
		Sides: []Side{
			{string(StartAgainTaken), "200.",
				"After a lost reply the start is sent again, and the job runs."},
			{string(StartAgainRefused), "422.",
				"The runner asks for the state: running means that its start arrived, and the job runs."},
		},
		Settles: "Start twice.",
	},
	{
		Name: "start-canceling", Question: "What is the answer to a start while the build is being canceled?",
		Sides: []Side{
			{string(StartCancelingRefused), "422.",
				"The runner reads the state and reports the job as cancelled; nothing of it runs."},
			{string(StartCancelingTaken), "200, and the job stays canceling.",
				"The job is cancelled as soon as the runner asks for its state; it may have begun."},
		},
		Settles: "Acquire, cancel the build, start.",
	},
	{
		Name: "lost-agent", Question: "What does a heartbeat of an agent that was lost do?",
		Sides: []Side{
			{string(LostAgentRevives), "It brings the agent back. The token of its job stays refused.",
				"The runner stops the job, because the job's token is refused; the message says so."},
			{string(LostAgentRefused), "It is refused with 401: the session is over.",
				"The runner stops its job, and the message says that the session was lost."},
		},
		Settles: "Pause a process for five minutes; heartbeat.",
	},
	{
		Name: "ended-job-token", Question: "Does the token of a job that has ended still work?",
		Sides: []Side{
			{string(EndedJobTokenRefused), "401 to everything.",
				"After a lost reply of finish, a 401 means that it arrived, unless Buildkite may not have heard of the agent for three minutes."},
			{string(EndedJobTokenReadsState), "It reads the job's state; all else is 422.",
				"After a lost reply of finish, the state says that the job is over, with the same exception. A job that is over while it runs is stopped."},
		},
		Settles: "Finish, then GET jobs/:id and the same finish again.",
	},
	{
		Name: "heartbeat-interval", Question: "How long is the heartbeat interval?",
		Sides: []Side{
			{string(HeartbeatIntervalShort), "A minute or less.",
				"The runner beats as often."},
			{string(HeartbeatIntervalTwoMinutes), "120 seconds.",
				"The runner beats once a minute, and within seconds after a beat that failed: the next one that is accepted is never later than 150 s after the last while Buildkite answers."},
		},
		Settles: "Register once: read heartbeat_interval.",
	},
	{
		Name: "job-status-interval", Question: "How long is the interval for asking a job's state?",
		Sides: []Side{
			{string(JobStatusIntervalShort), "A few seconds.",
				"A cancelled job is stopped within them."},
			{string(JobStatusIntervalHalfMinute), "30 seconds.",
				"A cancelled job is stopped within half a minute."},
		},
		Settles: "Register once: read job_status_interval.",
	},
	{
		Name: "chunk-size", Question: "How large may a log chunk be?",
		Sides: []Side{
			{string(ChunkSizeSmall), "102,400 bytes.",
				"The log is cut as the reply says."},
			{string(ChunkSizeLarge), "1,048,576 bytes.",
				"The same."},
		},
		Settles: "Acquire once: read chunks_max_size_bytes.",
	},
	{
		Name: "chunk-interval", Question: "How long is the interval between log chunks?",
		Sides: []Side{
			{string(ChunkIntervalShort), "A few seconds.",
				"The log is on the job's page within them."},
			{string(ChunkIntervalTenSeconds), "10 seconds.",
				"The log is on the page within twenty seconds. What is left when the job ends is sent at once."},
		},
		Settles: "Acquire once: read chunks_interval_seconds.",
	},
	{
		Name: "log-limit", Question: "Which limit of a job's log does acquire name?",
		Sides: []Side{
			{string(LogLimitDocumented), "1,073,741,824 bytes: the documented 1,024 MiB.",
				"The runner says in its own log that a job's is longer, and sends it all the same. What becomes of the rest is log-beyond-limit's question."},
			{string(LogLimitUnnamed), "None.",
				"The same, without a word."},
		},
		Settles: "Acquire once: read log_max_size_bytes.",
	},
	{
		Name: "chunk-unstarted", Question: "Is a log chunk taken before the start?",
		Sides: []Side{
			{string(ChunkUnstartedRefused), "No: 422.",
				"A job that can't be run is started first, so that its log can say why."},
			{string(ChunkUnstartedTaken), "Yes.",
				"The same."},
		},
		Settles: "Acquire, send a chunk.",
	},
	{
		Name: "log-beyond-limit", Question: "What is the answer to a log chunk beyond log_max_size_bytes?",
		Sides: []Side{
			{string(LogBeyondLimitDropped), "200, and it isn't kept.",
				"The job goes on; its log ends at the limit."},
			{string(LogBeyondLimitRefused), "422.",
				"The same: the runner gives up the chunk, and its finish says how many it gave up."},
		},
		Settles: "Send chunks beyond it.",
	},
}
