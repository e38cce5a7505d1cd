package decide

import "time"

// Action is what is to be done about a job.
type Action string

// The actions. There is at most one at a time; what follows is decided from the facts
// that it makes.
const (
	// None: nothing, until something changes or Decision.Again.
	None Action = "none"
	// Ask: learn the job's state from Buildkite, then decide again.
	Ask Action = "ask"
	// Attempt: a new kjob, not before Decision.NotBefore.
	Attempt Action = "attempt"
	// Finish: end the job at Buildkite, because no runner will.
	Finish Action = "finish"
	// Delete: delete the kjob, with its UID as precondition; its pod gets its
	// termination grace.
	Delete Action = "delete"
)

// Reason is why, in one word for metrics and Events.
type Reason string

// The reasons.
const (
	ReasonFinished   Reason = "finished"
	ReasonRejected   Reason = "rejected"
	ReasonLocked     Reason = "locked"
	ReasonNotRun     Reason = "not_run"
	ReasonDeclined   Reason = "declined"
	ReasonOtherPod   Reason = "unsupported"
	ReasonExhausted  Reason = "exhausted"
	ReasonUntrusted  Reason = "untrusted"
	ReasonRefused    Reason = "token_refused"
	ReasonConfig     Reason = "bad_config"
	ReasonStopped    Reason = "stopped"
	ReasonLost       Reason = "pod_lost"
	ReasonLostAfter  Reason = "pod_lost_running"
	ReasonDeadline   Reason = "deadline"
	ReasonDeleted    Reason = "kubernetes_job_deleted"
	ReasonCancelled  Reason = "cancelled"
	ReasonUnended    Reason = "kubernetes_job_stuck"
	ReasonOver       Reason = "job_over"
	ReasonTaken      Reason = "job_taken"
	ReasonUnknown    Reason = "job_unknown"
	ReasonNotYet     Reason = "job_waiting"
	ReasonSuspended  Reason = "suspended"
	ReasonImage      Reason = "image"
	ReasonContainer  Reason = "container"
	ReasonPending    Reason = "pending"
	ReasonAdmission  Reason = "admission"
	ReasonNotCreated Reason = "not_created"
	ReasonNoPod      Reason = "no_pod"
	ReasonOutlived   Reason = "outlived"
	ReasonHelper     Reason = "helper_left"
	ReasonGaveUp     Reason = "gave_up"
	ReasonOfferAgain Reason = "offered_again"
	ReasonLeft       Reason = "queue_left"
	ReasonUnmatched  Reason = "unmatched"
)

// Decision is what Decide returns.
type Decision struct {
	Action Action
	Reason Reason
	// Text is for the job's page: the detail of a Finish, else a notification
	// that is sent when it is new.
	Text string
	// Topic is what Text is about.
	Topic Topic
	// Waiting: Text is what the job waits for.
	Waiting bool
	// NotBefore is for Attempt.
	NotBefore time.Time
	// ExitStatus is for Finish.
	ExitStatus int
	// Why is for Delete: what the Event says beside the reason.
	Why string
	// Unplaced is for Delete: only if no pod of the kjob has a node.
	Unplaced bool
	// Again is when the same facts may mean something else; zero is never.
	Again time.Time
}

// The times of decisions. A kjob without a pod is normal for a moment, and so is a pod
// with a node and without Events. Before an irreversible decision, a state is believed
// for StateFresh only; it may be that of stateLag before it was asked for.
const (
	podlessGrace   = 30 * time.Second
	quietGrace     = time.Minute
	containerGrace = time.Minute // a kubelet has a Secret's or a ConfigMap's content late
	mountGrace     = 2 * time.Minute
	startTries     = 3
	NoticeAfter    = 10 * time.Second
	outliveGrace   = time.Minute
	statusLag      = 15 * time.Second
	stateLag       = 10 * time.Second
	eventLag       = time.Minute
	startLag       = time.Minute // a kubelet that starts many pods tells late of each
	StateFresh     = 5 * time.Second
	backoffBase    = 5 * time.Second
	backoffMax     = 2 * time.Minute
	notBeforeMax   = time.Hour
)

// On says what to do about a job, given all that is known. This is the only place that
// decides whether another attempt follows; the comments in contract say for which exit
// codes one does.
func On(f Facts) Decision {
	switch {
	case f.Attempt == 0:
		return decideOrphan(f)
	case f.KJob.Gone:
		return decideDeleted(f)
	case !f.KJob.Exists:
		return Decision{Action: None}
	case f.podIsLate():
		return Decision{Action: None, Again: f.EndedAt.Add(statusLag)}
	case f.KJob.Finished:
		return decideEnded(f)
	case f.KJob.Terminating:
		return decideTerminating(f)
	case !f.Pod.OverOrGone():
		return decideLive(f)
	case f.KJob.Suspended:
		// After a resume it would get a second pod.
		return suspendedAfterStart
	default:
		return decideStuck(f)
	}
}

// podIsLate: the kjob has ended, and how its pod did, which another watch tells, isn't known
// yet.
func (f Facts) podIsLate() bool {
	return f.KJob.Finished && f.Pod.Phase != "" && !f.Pod.OverOrGone() && f.Now.Before(f.EndedAt.Add(statusLag))
}

// Fresh reports whether the state was learned after the attempt had ended.
func (f Facts) Fresh() bool { return !f.StateAt.IsZero() && !f.StateAt.Before(f.EndedAt) }

// believed reports whether the state is new enough for an irreversible decision. The
// time that Buildkite took to answer doesn't count: if that were longer than
// StateFresh, nothing could ever be decided.
func (f Facts) believed() bool { return !f.ToldAt.IsZero() && f.Now.Sub(f.ToldAt) <= StateFresh }

// How often the Events of a waiting pod are read: WarningsEvery, or TakenEvery if they
// decide whether another agent has its job.
const (
	WarningsEvery = 20 * time.Second
	TakenEvery    = 10 * time.Second
)
