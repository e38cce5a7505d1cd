// Package contract is what the two sides of a job pod agree on: the scheduler
// that makes the pod and the runner that is PID 1 in it.
//
//	scheduler (k8s)                          runner (launcher, acquire)
//	   │  environment: job ID, attempt,  ──▶  │
//	   │  contract version, grace             │
//	   │                                      │
//	   │  ◀──  exit code, termination         │
//	   │       message (JSON, under 4 KiB)    │
//
// Neither side imports the other; both import this package, which imports
// nothing but the standard library.
package contract

// Version is the version of the contract. The scheduler writes it into the pod
// (EnvContractVersion); a runner that doesn't speak it leaves with
// OutcomeContract, naming both. It grows when an old runner would misread a new
// scheduler, or the other way round.
const Version = 1

// VersionPlugin is the version in a pod with several command containers (EnvCommands) or
// with variables for the checkout (EnvCheckoutEnv). A runner of version 1 would run the
// first of the commands, and report the job as passed; or check out without them.
const VersionPlugin = 2

// VersionMounted is the version in a pod whose command containers have the programs of an
// image volume (EnvStepPrograms). An older runner would copy its own to where they are.
const VersionMounted = 3

// Newest is the newest version that this release speaks, and it speaks all before.
const Newest = VersionMounted
