// Package container runs a job's command in a container of its own, in an image
// that has nothing of ours:
//
//	container agent                                     container command
//	onejob-agent   holds StepDir/runner                 onejob-step run   PID 1
//	└ onejob-run                                        └ onejob-step run holds StepDir/command
//	  └ onejob-step serve      ◀── StepDir/step.sock ──   └ buildkite-agent bootstrap
//	    └ buildkite-agent bootstrap                           phases plugin, command
//	      phases plugin, checkout
//
// The two sides speak the RPC of the stock agent's kubernetes-exec mode (package
// kubernetes of the agent), so that either side works with the stock one: register
// for the job's environment, ask for the state, write the log, tell the exit status.
// Ours differs in three things. The server answers a question for the state when the
// state changes, so that nobody waits for the next of a client's looks, one a second.
// The exit status has the signal beside it. And each side holds a lock on a file for
// as long as it lives, which the kernel lets go of with the process: the other side
// knows of its end at once, however it ended.
//
// The runner takes the job only when the command's container is there. So an image
// that can't be pulled is a pod that doesn't start, like any other.
package container
