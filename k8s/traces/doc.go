// Package traces exports what became of each attempt at a job as spans of OpenTelemetry,
// when the attempt has ended, with the times that were recorded.
//
//	scheduler ──Add──▶ queue of attempts ──▶ spans ──gate──▶ batches ──▶ OTLP over HTTP
//	              full: dropped                  full: dropped   refused: dropped
//
// Nothing of the scheduler waits for a collector: what doesn't fit is dropped and counted.
// An attempt that acquired its job is a child of Buildkite's own span for the job. The
// context comes with the acquisition, which the scheduler doesn't see, so the runner leaves
// it in its message. An attempt that never acquired it has no such context, and begins a
// trace of its own. All IDs of ours are functions of the job and the attempt, so that a
// later attempt can name an earlier one's span, also after a restart.
package traces
