package cache

import (
	"slices"
	"sync"
	"time"
)

// With a deleted kjob or pod the knowledge of who meant it and how it ended is gone. A
// standby keeps that for longer than a Lease lasts, so that the next leader knows what
// happened while nobody led. It only helps: after a restart of all replicas Buildkite's
// states decide alone.
const (
	RememberFor  = 2 * time.Minute
	rememberMost = 10_000
)

// Tombstone is a deleted kjob or pod, in its last state.
type Tombstone struct {
	at   time.Time
	Kjob *Job
	Pod  *Pod
}

func (d Tombstone) queue() string {
	if d.Kjob != nil {
		return d.Kjob.Queue
	}
	return d.Pod.Queue
}

// Tombstones are the deleted objects of a namespace, the oldest first.
type Tombstones struct {
	mu   sync.Mutex
	list []Tombstone
}

func (ds *Tombstones) add(d Tombstone) {
	d.at = time.Now()
	ds.mu.Lock()
	defer ds.mu.Unlock()
	old, _ := slices.BinarySearchFunc(ds.list, d.at.Add(-RememberFor), func(e Tombstone, t time.Time) int { return e.at.Compare(t) })
	old = max(old, len(ds.list)+1-rememberMost)
	ds.list = append(slices.Delete(ds.list, 0, old), d)
}

// Of returns a queue's tombstones.
func (ds *Tombstones) Of(queueLabel string) (out []Tombstone) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.list {
		if d.queue() == queueLabel && time.Since(d.at) < RememberFor {
			out = append(out, d)
		}
	}
	return out
}
