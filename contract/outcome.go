package contract

// Outcome says in one word how an attempt ended. It is finer than the exit
// code: several outcomes share one.
type Outcome string

// The outcomes of an attempt, as the runner saw them.
const (
	// OutcomeFinished: the job ran, and its result was reported.
	OutcomeFinished Outcome = "finished"
	// OutcomeRejected: Buildkite refused the acquisition; somebody else has
	// the job, or it is cancelled or over.
	OutcomeRejected Outcome = "rejected"
	// OutcomeAmbiguous: Buildkite refused the acquisition after an earlier
	// reply had been lost, so that the job may be held by this very session.
	OutcomeAmbiguous Outcome = "acquire_ambiguous"
	// OutcomeLocked: the job waited for something else until the attempts ran out.
	OutcomeLocked Outcome = "locked"
	// OutcomeStartRefused: acquired, but Buildkite would not let it start.
	OutcomeStartRefused Outcome = "start_refused"
	// OutcomeTakenBack: acquired, but Buildkite took the job back before it was
	// started, to give it to another agent.
	OutcomeTakenBack Outcome = "taken_back"
	// OutcomeCancelled: acquired, and cancelled before it was started, which was
	// reported.
	OutcomeCancelled Outcome = "cancelled"
	// OutcomeRunnerError: acquired, but the runner could not run it.
	OutcomeRunnerError Outcome = "runner_error"
	// OutcomeDeclined: acquired, and finished without a run, which was reported:
	// the agent refused it (a signature, a pre-bootstrap hook, an allow-list).
	OutcomeDeclined Outcome = "declined"
	// OutcomeUnsupported: acquired, and finished without a run, which was reported:
	// the step asks for a pod that this isn't (an image, the kubernetes plugin).
	OutcomeUnsupported Outcome = "unsupported"
	// OutcomeUndelivered: the job ended, but its result could not be reported.
	OutcomeUndelivered Outcome = "undelivered"
	// OutcomeStoppedAcquired: the grant came while a signal was coming in; the
	// job was finished at once, nothing of it ran.
	OutcomeStoppedAcquired Outcome = "stopped_after_acquire"
	// OutcomeExhausted: the attempts were spent on the network, 429 and 5xx.
	OutcomeExhausted Outcome = "exhausted"
	// OutcomeUntrusted: what answers at the endpoint can't be trusted where this pod
	// is: its certificate isn't, or it speaks no TLS.
	OutcomeUntrusted Outcome = "untrusted"
	// OutcomeUnready: the pod could not be made ready for a job, as another may
	// be: an agent-startup hook failed, the agent's tags couldn't be read, or the
	// folder for builds can't be made or written.
	OutcomeUnready Outcome = "unready"
	// OutcomeRefused: the token, the registration or the connection was refused.
	OutcomeRefused Outcome = "refused"
	// OutcomeConfig: bad flags, environment, keys or job ID.
	OutcomeConfig Outcome = "config"
	// OutcomeContract: the runner doesn't speak the version of the contract that its pod was
	// made with: the image on this node is of another release than the scheduler.
	OutcomeContract Outcome = "contract"
	// OutcomeStopped: stopped by a signal before the job was acquired.
	OutcomeStopped Outcome = "stopped"
)

// Unstarted reports an outcome of a job that was acquired and surely never begun.
func (o Outcome) Unstarted() bool {
	switch o {
	case OutcomeStartRefused, OutcomeStoppedAcquired, OutcomeTakenBack:
		return true
	}
	return false
}

// Known reports an outcome of the list above. A job can write any other.
func (o Outcome) Known() bool {
	switch o {
	case OutcomeStartRefused, OutcomeStoppedAcquired, OutcomeRunnerError, OutcomeDeclined, OutcomeUnsupported, OutcomeUndelivered:
		return true
	}
	return o.ExitCode() != ExitNotRun
}

// ExitCode returns the exit code that goes with the outcome. For
// OutcomeStopped it is ExitTerminated; the caller knows the signal better.
// An unknown outcome is ExitNotRun: a scheduler must not run such a job again.
func (o Outcome) ExitCode() int {
	switch o {
	case OutcomeFinished, OutcomeCancelled:
		return ExitOK
	case OutcomeRejected, OutcomeAmbiguous:
		return ExitRejected
	case OutcomeLocked:
		return ExitLocked
	case OutcomeExhausted, OutcomeUntrusted, OutcomeUnready, OutcomeTakenBack:
		return ExitExhausted
	case OutcomeRefused:
		return ExitRefused
	case OutcomeConfig, OutcomeContract:
		return ExitConfig
	case OutcomeStopped:
		return ExitTerminated
	default:
		return ExitNotRun
	}
}
