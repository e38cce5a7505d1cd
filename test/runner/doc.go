// Package runner shows, with real processes, that onejob-agent does what it
// promises. It holds tests only.
//
//	simulator (in the test) ◀── HTTP ── onejob-agent ─▶ onejob-run ─▶ bootstrap ─▶ the job
//	      │                             or the stock buildkite-agent start --acquire-job
//	      ▼
//	 ledger, requests, logs    ──▶ compared with the exit code and the termination message
//
// The bootstrap is the stock one where the test is about what a job can do, and
// a shell script of three lines where it is about calls and signals.
//
//	TestSequences   every fault that was captured from the stock agent: ours beside it
//	TestSoak        a thousand jobs under random faults and signals (ONEJOB_SEED, ONEJOB_JOBS)
//	TestJob…        hooks, plugins, artifacts, signatures, mirrors: all that a job can do
//	TestStop…       signals by phase
//	TestInit…       as PID 1 of a PID namespace
//	TestHidden…     what a job finds when it looks for the agent token
package runner
