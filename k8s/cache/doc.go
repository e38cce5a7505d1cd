// Package cache keeps what the API server shows of one namespace's Jobs and
// pods: only those of a queue, and only what decisions rest on.
//
//	watch ──prune: decode a part──▶ informer ──jobOf, podOf──▶ Store ──Handlers──▶ scheduler
//	  └── Connection: repeats what has no answer, knows whether the cache is out of date
//
// Deletions are remembered for a while (Tombstones): a queue that is served anew
// must learn of what went meanwhile.
package cache
