// Package container runs a job's command in a container of its own, in an image
// that needs no program of onejob's:
//
//	container agent                                     container command
//	onejob-agent   holds StepDir/runner                 onejob-step run   PID 1
//	└ onejob-run                                        └ onejob-step run holds StepDir/command
//	  └ onejob-step serve      ◀── StepDir/step.sock ──   └ buildkite-agent bootstrap
//	    └ buildkite-agent bootstrap                           phases plugin, command
//	      phases plugin, checkout
//
// The two sides speak the RPC of the stock agent's kubernetes-exec mode (package
// kubernetes of the agent), so that either side works with the stock one. The client
// registers for the job's environment, asks for the state, writes the log and reports the
// exit status. onejob's RPC differs in two things, and adds a third. The server answers a
// question for the state when the state changes; the stock client asks once a second. The
// exit status includes the signal. Each side holds a lock on a file while it lives: the
// kernel releases the lock when the process ends, so that the other side notices at once.
//
// The runner acquires the job only when the command's container runs. If the kubelet can't
// pull its image, the pod doesn't start, like any other, and the job stays free.
package container
