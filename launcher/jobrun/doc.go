// Package jobrun is the child's side of package launcher: it runs one acquired
// job with the agent's own JobRunner, and reports what became of it.
//
//	launcher ──Handover, Controls──▶ jobrun ──▶ agent.JobRunner ──▶ bootstrap
//	         ◀──────Reports────────            │
//	                                           └─▶ transport ──▶ Buildkite
//
// JobRunner swallows finish errors, drops log chunks on 429, and waits out
// retries of its own for up to ten minutes. So the transport under it is ours:
// it retries start, finish, chunks and header times itself, with jitter,
// Retry-After and the time that is left, tells the launcher what became of
// them, and hands JobRunner only final answers.
package jobrun
