package assumptions

// Profile describes one possible Buildkite by an answer to each question of All. An empty
// field means the shipped answer.
type Profile struct {
	UnstartedJob          UnstartedJob          `json:"unstarted-job,omitempty"`
	UnstartedJobToken     UnstartedJobToken     `json:"unstarted-job-token,omitempty"`
	DisconnectAccepted    DisconnectAccepted    `json:"disconnect-accepted,omitempty"`
	DisconnectRunning     DisconnectRunning     `json:"disconnect-running,omitempty"`
	DisconnectReason      DisconnectReason      `json:"disconnect-reason,omitempty"`
	LockedStates          LockedStates          `json:"locked-states,omitempty"`
	LockedRetryAfter      LockedRetryAfter      `json:"locked-retry-after,omitempty"`
	AcquireAgain          AcquireAgain          `json:"acquire-again,omitempty"`
	AcquireUnconnected    AcquireUnconnected    `json:"acquire-unconnected,omitempty"`
	AcquirePaused         AcquirePaused         `json:"acquire-paused,omitempty"`
	AcquireOtherQueue     AcquireOtherQueue     `json:"acquire-other-queue,omitempty"`
	RegisterUnknownQueue  RegisterUnknownQueue  `json:"register-unknown-queue,omitempty"`
	SessionReadsJob       SessionReadsJob       `json:"session-reads-job,omitempty"`
	StartAgain            StartAgain            `json:"start-again,omitempty"`
	StartCanceling        StartCanceling        `json:"start-canceling,omitempty"`
	LostAgent             LostAgent             `json:"lost-agent,omitempty"`
	EndedJobToken         EndedJobToken         `json:"ended-job-token,omitempty"`
	HeartbeatInterval     HeartbeatInterval     `json:"heartbeat-interval,omitempty"`
	JobStatusInterval     JobStatusInterval     `json:"job-status-interval,omitempty"`
	ChunkSize             ChunkSize             `json:"chunk-size,omitempty"`
	ChunkInterval         ChunkInterval         `json:"chunk-interval,omitempty"`
	LogLimit              LogLimit              `json:"log-limit,omitempty"`
	ChunkUnstarted        ChunkUnstarted        `json:"chunk-unstarted,omitempty"`
	LogBeyondLimit        LogBeyondLimit        `json:"log-beyond-limit,omitempty"`
	StackFinishHeld       StackFinishHeld       `json:"stack-finish-held,omitempty"`
	StackFinishOther      StackFinishOther      `json:"stack-finish-other,omitempty"`
	StackFinishUnreserved StackFinishUnreserved `json:"stack-finish-unreserved,omitempty"`
	StackFinishAgain      StackFinishAgain      `json:"stack-finish-again,omitempty"`
	LongDetail            LongDetail            `json:"long-detail,omitempty"`
	NotifyUnreserved      NotifyUnreserved      `json:"notify-unreserved,omitempty"`
	ShortReservation      ShortReservation      `json:"short-reservation,omitempty"`
	ShorterRenewal        ShorterRenewal        `json:"shorter-renewal,omitempty"`
	JobList               JobList               `json:"job-list,omitempty"`
	JobStates             JobStates             `json:"job-states,omitempty"`
	UnknownJobState       UnknownJobState       `json:"unknown-job-state,omitempty"`
	LostStack             LostStack             `json:"lost-stack,omitempty"`
	StackLimit            StackLimit            `json:"stack-limit,omitempty"`
	RefusedCalls          RefusedCalls          `json:"refused-calls,omitempty"`
	LimitRetryAfter       LimitRetryAfter       `json:"limit-retry-after,omitempty"`
	MetricsScheduled      MetricsScheduled      `json:"metrics-scheduled,omitempty"`
	AnyValueRule          AnyValueRule          `json:"any-value-rule,omitempty"`
	DefaultQueueRule      DefaultQueueRule      `json:"default-queue-rule,omitempty"`
	StarLostAgent         StarLostAgent         `json:"star-lost-agent,omitempty"`
	StarStackFinish       StarStackFinish       `json:"star-stack-finish,omitempty"`
	ExhaustedRule         ExhaustedRule         `json:"exhausted-rule,omitempty"`
}
