// Package stacks is the client of Buildkite's Stacks API: the queue's side of onejob.
// It lists the scheduled jobs of a queue, reserves those that there is room for, asks
// for states, and reports the end of a job whose runner can't do it any more.
//
//	               ┌── ScheduledJobs ── Reserve ── States ── Finish ── Notify ──┐
//	scheduler ───▶ │  one gate per endpoint: learned limit, Retry-After, backoff │ ───▶ Buildkite
//	               └── token: read from a file, again when the file changes ────┘
//
// # Why not github.com/buildkite/stacksapi
//
// The client is ours, over net/http, because that library (v1.0.2)
//
//   - decodes cluster_queue.paused where the API sends dispatch_paused, so that
//     a paused queue is never seen as paused;
//   - omits exit_status 0 from finish, and the server then assumes -1;
//   - ignores RateLimit-*, and loses the headers of error replies, Retry-After
//     among them, so that its caller can't wait as long as it was told to;
//   - retries each call by itself, so that a thousand callers in an outage are
//     a thousand independent loops, where a gate per endpoint is one.
//
// What is known of the API: docs/protocol.md#stacks and after.
package stacks
