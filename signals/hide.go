package signals

import "golang.org/x/sys/unix"

// Hide makes the process undumpable (prctl(2), PR_SET_DUMPABLE): no process of
// the same user can read its memory, environment or files through /proc, attach
// a debugger, or get a core. A job runs under the runner's uid, and the
// runner's environment holds the agent token.
//
// The kernel resets it at exec, so each of our programs calls it first of all.
func Hide() error {
	return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
