package contract

// Exit codes of onejob-agent. They tell the scheduler what became of an
// attempt when nothing but the code is left of the pod.
const (
	// ExitOK: the job ran and its result was reported, pass or fail.
	ExitOK = 0
	// ExitRejected: the acquisition was refused for good (422, or another 4xx
	// that is not retried). The stock agent's own code.
	ExitRejected = 27
	// ExitLocked: the job was still locked (423) when the attempts ran out.
	// The stock agent's own code, which it never reaches.
	ExitLocked = 28
	// ExitNotRun: the job was acquired, but not run to a reported end.
	// EX_SOFTWARE of sysexits.h.
	ExitNotRun = 70
	// ExitExhausted: the attempts were spent on the network, 429, 5xx and replies that
	// aren't Buildkite's; or the endpoint isn't trusted in this pod; or the pod could
	// not be prepared for a job. EX_TEMPFAIL.
	ExitExhausted = 75
	// ExitRefused: the token was refused (401, 403), or registering or
	// connecting was refused for good. EX_NOPERM.
	ExitRefused = 77
	// ExitConfig: bad flags, environment, keys or job ID, or a contract version that
	// the runner can't honour. Another pod would do the same, unless its node has an image
	// of another release. EX_CONFIG.
	ExitConfig = 78
	// ExitInterrupted and ExitTerminated: stopped by SIGINT or SIGTERM (128+n)
	// before the job was acquired.
	ExitInterrupted = 130
	ExitQuit        = 131
	ExitTerminated  = 143
)

// WithoutJob reports whether a runner that exits with this code doesn't have the job:
// it never had it, or has reported its end.
func WithoutJob(code int) bool {
	switch code {
	case ExitOK, ExitRejected, ExitLocked, ExitExhausted, ExitRefused, ExitConfig, ExitInterrupted, ExitQuit, ExitTerminated:
		return true
	}
	return false
}
