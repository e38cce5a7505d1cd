// Package chaos sets onejob up as its users do (test/stage: a real Kubernetes of
// two nodes, two replicas of the scheduler, a simulator in Buildkite's place),
// lets jobs come in, and hurts everything that can be hurt: at random, by a plan
// that follows from a seed.
//
//	seed ──▶ plan ──▶ strikes: kill, delete, evict, freeze, stop, cut, jump, tear
//	                     │
//	builds ──▶ simulator ┴ scheduler ×2 ┴ kubelet ×2 ┴ API server ┴ runners
//	               │                                                   │
//	            ledger                 counter ◀── each job's script says that it began
//	               └────────────┬──────────┘
//	                         Judge: what must hold when the injuries have ceased
//
// The plan is the seed's; what a strike meets is not, for processes have their
// own pace. So a failure is told with what was done, when and to whom, and with
// the story of the job it is about: what Buildkite, Kubernetes, the scheduler and
// the runner each said of it.
package chaos
