// Package acquire is the Buildkite side of one job, up to the moment when the
// job is ours: register, connect, heartbeat, acquire, leave.
//
//	Client ──Register──▶ Session ──Connect──▶ Heartbeat (in the background)
//	                        │
//	                        ├──Acquire──▶ *api.Job | ErrRejected | ErrAmbiguous | ErrLocked | …
//	                        │
//	                        └──Leave (stop, disconnect)
//
// The calls are those of agent/v3/api; the loops around them are our own, on
// roko, because the stock ones keep no promise that onejob makes: theirs have a
// constant interval or an unjittered Retry-After, run on after SIGTERM, retry
// what can't heal, and lose the reason (docs/protocol.md#stock-defects).
//
// # Whose word it is
//
// A 4xx counts only as Buildkite's own (contract.OwnReply). What else answers, or
// none that can be trusted, is retried as long as the call may take, as an outage
// is: a captive portal knows nothing of a token, a session or a job.
//
// # The lost reply
//
// An acquire may be granted by a server whose reply never arrives. Guessed:
// that Buildkite then answers the next acquire with 422 even to the session
// that holds the job. Known: no call tells a session which jobs it holds.
// Guessed: that GET jobs/:id may be read with a session token
// (docs/protocol.md#lost-replies). So a 422 after a reply that may have been
// lost is never taken for a grant: the job's state is read if the API lets us,
// and unless it proves that the job is over or runs elsewhere, the result is
// ErrAmbiguous. The caller leaves the session explicitly, and Buildkite then
// knows that whatever it granted to it will not run.
package acquire
