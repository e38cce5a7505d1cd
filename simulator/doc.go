// Package simulator is Buildkite as far as runners and schedulers see it: an
// http.Handler that real clients use unmodified (the stock buildkite-agent,
// its api package, the stacksapi client), for tests, demos and end-to-end runs.
//
//	               New(Config)
//	                    │
//	api.Client ───▶ ServeHTTP ── fault? ── token? ── lock ── handler ── reply
//	stacksapi       Transport      │                           │          │
//	                               ▼                           ▼          ▼
//	Go test   ───▶ methods      withheld,                  setState    Requests
//	script    ───▶ /_sim/…      torn, late                     │       Counts
//	person    ───▶ /            replies                        ▼
//	                                               Ledger, Violations, Repeats
//
// A job, as the server sees it:
//
//	blocked ◀─▶ waiting ─▶ limiting ─▶ limited        (of a concurrency group)
//	               ▼           ▼          ▼
//	waiting ─▶ scheduled ◀─▶ reserved
//	   │           └────┬────────┴──▶ expired
//	   ▼                ▼ acquire: one session, once
//	waiting_failed   accepted ─▶ running ─▶ finished ─▶ (retry: a new job)
//	                    └───┬───────┴─▶ timing_out ─▶ timed_out
//	                        └─▶ canceling ─▶ canceled
//
// A job that isn't to run is skipped, or broken when if or branches left it out.
//
// All state sits behind one mutex; no goroutine is owned; all that happens by
// itself hangs on one timer. A Simulator made in a synctest bubble, and called
// through Transport, lives in virtual time. One exception: a condition with a
// regular expression starts the clock of regexp2 for two seconds, so such a test
// sleeps for longer at its end.
//
// # Faults and the ledger
//
// A Fault acts before the state changes or after it. After it, the reply is
// withheld: the client can't know what happened, and a repeat of the same call
// is right. The ledger counts such repeats and doesn't blame them. It blames
// what no loss explains: a job with two holders, two results, a log with a
// hole that finish doesn't own up to.
//
// # Known
//
// From captures of the real clients and from Buildkite's documents
// (docs/protocol.md): paths, bodies, headers, tokens by call, 423 for a
// job that waits and 422 for one that is gone, 404 for StreamPings; the whole
// of the Stacks API with limits, scopes and 429 bodies; waits, soft failures
// and retry rules as the documents tell them, each rule with its own count, no
// automatic retry of what was canceled; exit status -1 for a lost agent; a stack's
// reservation, which no other stack can take over.
//
// # Played
//
// Where nobody outside can know what Buildkite does, Config.Profile says what is played:
// docs/assumptions.md has all questions and answers.
//
// # Guessed
//
//   - acquire by an agent with another job is 422; the reserving stack isn't checked,
//     nor are tags but the queue.
//   - GET jobs/:id answers the holder's session token even after finish, and refuses
//     another's with 403. Without job tokens a second finish is 422.
//   - A disconnect ends the session: 401 from then on.
//   - A chunk whose size is wrong is 400, one that contradicts another 422.
//   - What times out before an agent has it is expired, and isn't retried by a
//     rule.
//   - A pipeline upload is applied before its 202 is sent; env at the top of an
//     upload reaches its own steps only.
//   - A retried job keeps its place in its concurrency group. A concurrency_group
//     without concurrency limits nothing.
//   - A dependency that nobody has fails its step once nothing else of the build
//     runs or waits for a person.
//   - A job is blocked if it waits for a block or input step itself, not through
//     a wait. Behind a failure it becomes waiting_failed, not blocked_failed.
//   - Attributes of one kind of step are refused on another.
//   - A cache that isn't there is restored from the newest that shares the longest
//     beginning of its key, all mandatory parts included.
//   - The limit of a page is 100 when it is left out.
//
// # Missing
//
// Notifications aren't sent, teams don't exist, OIDC tokens are unsigned,
// StreamPings is refused. docs/simulator.md has what a pipeline can use; what it
// uses in vain stands in Build.Warnings.
package simulator
