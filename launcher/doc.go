// Package launcher takes one job ID to a finished Buildkite job: it registers,
// acquires (package acquire), has the job run and reported, leaves, and says in
// a contract.Message what became of it.
//
//	onejob-agent (PID 1)     forwards, reaps                     package signals
//	└ onejob-agent           Run: session, heartbeats, signals   this package
//	  └ onejob-run           agent.JobRunner for one job         launcher/jobrun
//	    └ buildkite-agent bootstrap      hooks, checkout, the command
//
// The job's own runner is a process of its own because linking it costs 20 MB
// and a fifth of a second that a runner waiting in backoff needn't pay, and
// because what becomes of it (a panic, the OOM killer) is then seen by somebody
// who can still finish the job at Buildkite and say why.
//
// Parent and child talk over pipes: a Handover and then Controls go down, a
// line of JSON each; Reports come up as the child learns something, each of
// them the whole of what it knows. If the parent dies, the child's end of the
// pipe closes, and it cancels the job.
package launcher
