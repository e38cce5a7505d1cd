package scheduler

import (
	"slices"
	"sync"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/status"
)

// mostLosses is how many lost attempts the status page shows.
const mostLosses = 50

// losses are the last attempts that were lost, since this process began to lead. It is
// for people; nothing rests on it.
type losses struct {
	mu   sync.Mutex
	last []status.Loss // the oldest first
}

// add notes what was done about the end of an attempt, if that was lost.
func (ls *losses) add(q *queue, id contract.JobID, d decide.Decision, f decide.Facts) {
	switch d.Reason {
	case decide.ReasonLost, decide.ReasonLostAfter, decide.ReasonNotRun:
	default:
		return
	}
	l := status.Loss{At: f.EndedAt, Queue: q.name, ID: id, Attempt: f.Attempt, Reason: string(d.Reason), Action: string(d.Action), Text: contract.Sentence(d.Text)}
	if k := q.claims.last(id); k != nil {
		l.URL = kjob.JobURL(q.set.Load().template.Org, k.Job)
	}
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.last = append(ls.last, l)
	ls.last = ls.last[max(0, len(ls.last)-mostLosses):]
}

// all are they, the newest first.
func (ls *losses) all() []status.Loss {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	out := append([]status.Loss{}, ls.last...)
	slices.Reverse(out)
	return out
}

// clear is for a process that leads no more.
func (ls *losses) clear() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.last = nil
}
