package assumptions

// stackTable has the questions about a stack's calls.
var stackTable = []Assumption{
	{
		Name: "stack-finish-held", Question: "May a stack finish a job that an agent holds?",
		Sides: []Side{
			{string(StackFinishHeldRefused), "No: 422.",
				"A job that an agent had is left to Buildkite, which loses the agent after three to four minutes; the job's page says why. With lost-jobs: finish the scheduler tries, is refused, and leaves it."},
			{string(StackFinishHeldTaken), "Yes, with signal_reason stack_error.",
				"The same by default. With lost-jobs: finish the job ends at once, and a retry rule for stack_error may run a job again that half ran: docs/configuration.md says so."},
		},
		Settles: "Acquire, then finish the job as a stack.",
	},
	{
		Name: "stack-finish-other", Question: "May a stack finish a job that another stack reserved?",
		Sides: []Side{
			{string(StackFinishOtherTaken), "Yes.",
				"The scheduler finishes only a job that it has reserved; where its reservation is over, it reserves the job first, and leaves it if another stack has it."},
			{string(StackFinishOtherRefused), "No: 422.",
				"The job is left to the stack that holds it; a finish that is refused is tried a few times, and then a notice says so."},
		},
		Settles: "Reserve with one stack, finish with another one.",
	},
	{
		Name: "stack-finish-unreserved", Question: "May a stack finish a job that nobody reserved?",
		Sides: []Side{
			{string(StackFinishUnreservedTaken), "Yes.",
				"The job ends with the reason."},
			{string(StackFinishUnreservedRefused), "No: 422.",
				"The finish is sent again after the job is reserved."},
		},
		Settles: "Finish a scheduled job as a stack.",
	},
	{
		Name: "stack-finish-again", Question: "What is the answer to a second finish by a stack?",
		Sides: []Side{
			{string(StackFinishAgainRefused), "422.",
				"After a lost reply the state says that the job is over."},
			{string(StackFinishAgainTaken), "200, and the first one counts.",
				"The same."},
		},
		Settles: "Finish twice.",
	},
	{
		Name: "long-detail", Question: "What becomes of a finish whose detail is longer than 4 KB?",
		Sides: []Side{
			{string(LongDetailRefused), "422.",
				"The detail is cut to 4 KB before it is sent."},
			{string(LongDetailCut), "It is cut.",
				"The same."},
		},
		Settles: "Finish with a detail of 5,000 bytes.",
	},
	{
		Name: "notify-unreserved", Question: "Does a job's page take a text before anybody has reserved the job?",
		Sides: []Side{
			{string(NotifyUnreservedTaken), "Yes.",
				"A job that waits for a slot is told its place, and one whose tags no queue has is told so."},
			{string(NotifyUnreservedRefused), "No: it is refused by its index.",
				"The texts are lost, and those about places stop for ten minutes after three in a row. onejob explain, the status page, Events and metrics say the same."},
		},
		Settles: "Send a text for a job that is scheduled.",
	},
	{
		Name: "short-reservation", Question: "How short may a reservation be?",
		Sides: []Side{
			{string(ShortReservationTaken), "A second.",
				"Jobs are reserved for 20 s, then for 60 s at a time, so that a scheduler's death costs seconds."},
			{string(ShortReservationRaised), "A minute: a shorter one is made as long.",
				"The same; a scheduler's death costs up to a minute."},
			{string(ShortReservationRefused), "A minute: a shorter one is 422.",
				"Jobs are reserved for a minute from then on, if that is taken, else for five, else for as long as Buildkite makes it, a quarter of an hour: so much a scheduler's death can cost, or a Job that Kubernetes refuses."},
		},
		Settles: "Reserve for 1, 20 and 60 seconds; watch when the job is listed again.",
	},
	{
		Name: "shorter-renewal", Question: "Does a renewal that would end before the reservation does shorten it?",
		Sides: []Side{
			{string(ShorterRenewalShortens), "Yes.",
				"Each renewal is as long as it has to last, so that either is right."},
			{string(ShorterRenewalIgnored), "No.",
				"The same."},
		},
		Settles: "Reserve for 900 s, then for 20 s; watch when the job is listed again.",
	},
	{
		Name: "job-list", Question: "How new is the list of scheduled jobs?",
		Sides: []Side{
			{string(JobListCurrent), "It has what is.",
				"If a listing contradicts what the scheduler knows of a job, the scheduler asks for the job's state."},
			{string(JobListLate), "It has what was 5 s ago.",
				"The same."},
		},
		Settles: "A loop of reserve, acquire and finish with time stamps, listing in between.",
	},
	{
		Name: "job-states", Question: "How new are the states of get-states?",
		Sides: []Side{
			{string(JobStatesCurrent), "They are those of the moment of the request.",
				"The scheduler asks for a state again before it does something that can't be undone, and Buildkite decides: a job that is held can't be acquired or finished."},
			{string(JobStatesLate), "They are those of 2 s ago.",
				"The same. If a pod is lost within 2 s after it acquired the job, the page may say that the pod didn't have the job; the next pod ends with 27, and nothing runs twice."},
		},
		Settles: "The same loop, asking for the states.",
	},
	{
		Name: "unknown-job-state", Question: "What does get-states say of a job that Buildkite doesn't know?",
		Sides: []Side{
			{string(UnknownJobStateLeftOut), "Nothing: it is missing in the answer.",
				"The job's pod is deleted if it hasn't started its job."},
			{string(UnknownJobStateNull), "null.",
				"The same."},
			{string(UnknownJobStateRefused), "The call is refused with 422.",
				"The scheduler asks for the states of the other jobs without it. For a single job it asks for the environment: 404 means that Buildkite doesn't know the job."},
		},
		Settles: "Ask for the state of a UUID made up.",
	},
	{
		Name: "lost-stack", Question: "What is the answer to a stack that was silent for six minutes?",
		Sides: []Side{
			{string(LostStackAnswered), "The list.",
				"The scheduler goes on."},
			{string(LostStackNotFound), "404, until it registers again.",
				"The scheduler registers again by itself."},
		},
		Settles: "Register, wait for seven minutes, list.",
	},
	{
		Name: "stack-limit", Question: "Which stacks count among the organization's 30?",
		Sides: []Side{
			{string(StackLimitConnected), "Those that are connected.",
				"If a register is refused beyond the limit, the scheduler names the limit as the cause and tries again."},
			{string(StackLimitCreated), "All there ever were.",
				"The same. A stack's key stays the same, so that restarts make no new ones."},
		},
		Settles: "Register and deregister 31 stacks.",
	},
	{
		Name: "refused-calls", Question: "Do calls that are answered with 429 count against the limit?",
		Sides: []Side{
			{string(RefusedCallsFree), "No.",
				"The scheduler waits as the reply says before it calls that endpoint again."},
			{string(RefusedCallsCounted), "Yes.",
				"The same."},
		},
		Settles: "20 calls in a second; see when the first one is taken again.",
	},
	{
		Name: "limit-retry-after", Question: "Does a 429 come with Retry-After?",
		Sides: []Side{
			{string(LimitRetryAfterNone), "No.",
				"RateLimit-Reset says how long to wait."},
			{string(LimitRetryAfterSent), "Yes.",
				"The scheduler waits for the longer one of both."},
		},
		Settles: "The same calls: read the header.",
	},
	{
		Name: "metrics-scheduled", Question: "Are reserved jobs among the scheduled ones of GET metrics?",
		Sides: []Side{
			{string(MetricsScheduledWithReserved), "Yes.",
				"onejob doesn't read them; an autoscaler may."},
			{string(MetricsScheduledWithoutReserved), "No.",
				"The same."},
		},
		Settles: "Reserve a job; compare.",
	},
}
