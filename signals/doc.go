// Package signals is what a process needs as PID 1 of a container, and how a
// signal reaches the code that must act on it.
//
//	kubelet ──SIGTERM──▶ init (PID 1) ──forwards──▶ runner ──▶ Watcher: Stop, then Force
//	                      │  reaps everything            │
//	                      ◀───────── exit status ────────┘
//
// A process that reaps with wait4(-1) takes exit statuses from os/exec in the
// same process. So PID 1 only forwards, reaps and passes the status on, and a
// child of it, the same program, does the work. A program that is not PID 1
// steps aside: somebody else (a shell, tini, the pause container of a shared
// process namespace) reaps there, and a subreaper that doesn't wait for
// everything would only collect zombies.
package signals
