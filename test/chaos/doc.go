// Package chaos sets onejob up as its users do (test/fixture: a real Kubernetes of
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
// Of the clocks only the simulator's is set: those of the API server, of the
// kubelets and of the scheduler are the machine's, a time namespace moves none
// but the monotonic ones, and a static program takes no other's word for the
// time. histories.TestHistories sets them all.
//
// The plan is the seed's; what a strike meets is not, for processes have their
// own pace. So a failure is told with what was done, when and to whom, and with
// the story of the job it is about: what Buildkite, Kubernetes, the scheduler and
// the runner each said of it.
package chaos
