package k8s

import (
	"slices"
	"sync"
	"time"
)

// A deleted kjob or pod takes with it who meant it and how it ended. A standby
// keeps that for longer than a Lease lasts, so that the next leader still knows
// what happened while nobody led. It is help, not truth: after a restart of all
// replicas the states at Buildkite decide alone.
const (
	rememberFor  = 2 * time.Minute
	rememberMost = 10_000
)

// deletion is one of the two, in its last state.
type deletion struct {
	at   time.Time
	kjob *seenKjob
	pod  *seenPod
}

func (d deletion) queue() string {
	if d.kjob != nil {
		return d.kjob.queue
	}
	return d.pod.queue
}

// deletions are those of a namespace, the oldest first.
type deletions struct {
	mu   sync.Mutex
	list []deletion
}

func (ds *deletions) add(d deletion) {
	d.at = time.Now()
	ds.mu.Lock()
	defer ds.mu.Unlock()
	old, _ := slices.BinarySearchFunc(ds.list, d.at.Add(-rememberFor), func(e deletion, t time.Time) int { return e.at.Compare(t) })
	old = max(old, len(ds.list)+1-rememberMost)
	ds.list = append(slices.Delete(ds.list, 0, old), d)
}

// of are a queue's.
func (ds *deletions) of(queueLabel string) (out []deletion) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	for _, d := range ds.list {
		if d.queue() == queueLabel && time.Since(d.at) < rememberFor {
			out = append(out, d)
		}
	}
	return out
}
