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
// Buildkite is reached by TLS, with a certificate that the pods are told to trust,
// so that it can be taken for somebody else for a while: see fixture.Front.
//
// Clocks are set by a day or an hour, either way, in the middle of a run: the API
// server's, a node's with all that runs on it, a scheduler's (package clock), and by
// seconds the simulator's. Not those of the controllers: they count TTLs and deadlines
// of Kubernetes' own, which end jobs by design.
//
// The plan is the seed's; what a strike meets is not, for processes have their
// own pace. So a failure is told with what was done, when and to whom, and with
// the story of the job it is about: what Buildkite, Kubernetes, the scheduler and
// the runner each said of it.
package chaos
