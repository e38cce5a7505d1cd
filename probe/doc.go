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
// The probe touches only the jobs of its own pipeline. It knows them by the key of their
// step and by a rule on their agent, both of which contain the run's mark. No other agent
// meets that rule by accident, and the probe acquires by job ID.
//
// The answer to a question is unknown, with the reason, unless it is clear. All waits are
// bounded: a run takes ten minutes at most after its jobs are listed. The probe sends five
// calls a second at most (twenty while it tidies up) and obeys Retry-After. It exceeds a
// limit once, on a stack of its own, because the limits are per stack.
package probe
