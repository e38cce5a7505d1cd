// Package probe asks a real organization what Buildkite's documents leave open: each
// assumption of package assumptions by calls whose answers tell its sides apart.
//
//	Run ─▶ own stack ─▶ a queue that is empty ─▶ print a pipeline ─▶ its jobs are listed
//	                                                                        │
//	                    all questions at once, each with jobs of its own ◀──┘
//	                      │                    │
//	                      │      one look at the queue every two seconds,
//	                      ▼      which all of them share
//	                    findings ─▶ finish every job, disconnect, deregister ─▶ Report
//
// It touches no job that its own pipeline didn't make: a job is its own by the key of
// its step and by a rule on its agent, both of which have the run's mark. No agent meets
// that rule by accident, and the probe acquires by job ID.
//
// A question that isn't answered clearly is unknown, with the reason. All waits are
// bounded, so that a run takes ten minutes at most after its jobs are listed. Calls are
// made a few a second, and Retry-After is obeyed; the one burst above a limit is on a
// stack of its own, because the limits are per stack.
package probe
