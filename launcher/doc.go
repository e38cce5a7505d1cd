// Package launcher takes one job ID to a finished Buildkite job: it registers,
// acquires (package acquire), has the job run and reported, leaves, and says in
// a contract.Message what became of it.
//
//	onejob-agent (PID 1)     forwards, reaps                     package signals
//	└ onejob-agent           Run: session, heartbeats, signals   this package
//	  └ onejob-run           agent.JobRunner for one job         launcher/jobrun
//	    └ buildkite-agent bootstrap      hooks, checkout, the command
//
// onejob-run is a process of its own for two reasons. Linking the agent's job runner
// costs 20 MB and a fifth of a second, which a runner that waits in backoff needn't
// pay. And if it dies (a panic, the OOM killer), its parent sees that and can still
// finish the job at Buildkite and say why.
//
// Parent and child talk over pipes, one line of JSON each: a Handover and then Controls
// go down; Reports come up, and each has all that the child knows. If the parent dies,
// the child's end of the pipe closes, and the child cancels the job.
package launcher
