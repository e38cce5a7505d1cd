// Package simulator plays the part of Buildkite that runners and schedulers call. It is an
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
// A job that doesn't run is skipped, or broken if its if or branches left it out.
//
// One mutex guards all state. A Simulator owns no goroutine; one timer runs all deadlines. A
// Simulator that is made in a synctest bubble, and called through Transport, runs in virtual
// time. One exception: a condition with a regular expression starts the clock of regexp2
// for two seconds, so that such a test must sleep for longer at its end.
//
// # Faults and the ledger
//
// A Fault acts before the state changes or after it. If it acts after, the client loses the
// reply and can't know what happened, so that a repeat of the same call is right. The ledger
// counts such repeats. A violation is what no lost reply explains: a job with two holders,
// two results, a gap in the log that finish doesn't report.
//
// # Known
//
// From captures of the real clients and from Buildkite's documents (docs/protocol.md):
// paths, bodies, headers, tokens by call; 423 for a job that waits and 422 for one that
// can't be acquired any more; 404 for StreamPings; the whole Stacks API with limits, scopes
// and 429 bodies; documented waits, soft failures and retry rules, each rule with its own
// count; no automatic retry of a canceled job; exit status -1 for a lost agent; no stack can
// take over another's reservation.
//
// # Played
//
// Config.Profile has the answers to the questions that only Buildkite knows;
// docs/assumptions.md lists the questions and answers.
//
// # Guessed
//
//   - acquire by an agent with another job is 422. acquire checks neither the reserving
//     stack nor any tag but the queue.
//   - GET jobs/:id answers the holder's session token (if Profile.SessionReadsJob allows it)
//     even after finish, and refuses another's with 403. Without job tokens a second finish
//     is 422.
//   - A disconnect ends the session: 401 from then on.
//   - A chunk whose size is wrong is 400, one that contradicts another 422.
//   - A job that times out before an agent has it is expired, and no rule retries it.
//   - A pipeline upload is applied before its 202 is sent; env at the top of an
//     upload reaches its own steps only.
//   - A retried job keeps its place in its concurrency group. A concurrency_group
//     without concurrency limits nothing.
//   - A step that depends on a missing key fails once no other step of the build runs or
//     waits for a person.
//   - A job is blocked if it waits for a block or input step itself, not through
//     a wait. Behind a failure it becomes waiting_failed, not blocked_failed.
//   - Attributes of one kind of step are refused on another.
//   - A missing cache is restored from the newest one that shares the longest beginning of
//     its key, all mandatory parts included.
//   - A page has 100 jobs if the call names no limit.
//
// # Missing
//
// notify sends nothing, teams don't exist, OIDC tokens are unsigned, StreamPings is refused.
// docs/simulator.md lists the attributes that a pipeline can use. Build.Warnings names those
// of a build that have no effect.
package simulator
