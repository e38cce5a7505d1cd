// Package scheduler is the heart of onejob schedule: it turns the job IDs of Buildkite queues into
// Kubernetes Jobs, one kjob for one attempt at one job, and decides what
// becomes of each.
//
//	Buildkite ── list ──▶ poll ── reserve 20 s ──▶ claim ──▶ create ──▶ kjob ──▶ pod
//	    ▲                  ▲                                               │
//	    │                  └── new attempt ◀── decide ◀── informers ◀──────┘
//	    └── finish, notify, renew, states ◀──────┘
//
// It is level-triggered: at each tick and each event it compares what Buildkite
// has scheduled with the kjobs that exist and acts on the difference. What it
// holds in memory may be dropped at any line:
//
//   - A claim is a job that is reserved and whose kjob isn't in the cache yet.
//     If we die, the reservation lapses within reserveFor and the job is
//     listed again. A claim holds its slot until the kjob is seen or a live GET
//     says NotFound.
//   - Slots are counted, never taken and given back: max-in-flight less the
//     unfinished kjobs in the cache, the pods that have no kjob, and the claims.
//   - The kjob's name is a pure function of job and attempt, so that a create
//     that was repeated, or made by two schedulers, is one kjob. The Lease only
//     saves calls.
//
// A queue has three parts, each with its own guard: claims (which jobs are ours),
// standing (may it start work, and if not, why) and pages (what has been told). No part
// calls another.
//
// Whether a job gets another attempt is decided in one place, decide.On, a pure
// function. Acquisition is exclusive on Buildkite's side, so even a wrong
// decision runs nothing twice.
package scheduler
