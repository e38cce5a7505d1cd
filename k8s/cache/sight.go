package cache

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/k8s/decide"
)

// sights turn the times of kjobs and pods, which are by the clocks of the API server,
// the Job controller and nodes, into ours, once, when they are first seen. An event
// that we see happens now. An object that a new process finds is as old as the API
// server's clock says at that time, but not older than its kjob by our clock; either
// clock may have been set, and the younger age counts. After that our monotonic clock
// counts, so that setting a clock never makes anything look older or younger.
type sights struct {
	skew func() time.Duration
	mu   sync.Mutex
	of   map[types.UID]*sight
}

// sight is what was seen of a kjob or a pod. Ten thousand are kept.
type sight struct {
	first                                       time.Time // when it was first seen
	found                                       bool      // in a first list
	created, suspended, resumed, deleted, ended moment    // of a kjob
	made, goneBy, started                       moment    // of a pod
}

// moment is a time as Kubernetes tells it, and as our clock shows it.
type moment struct {
	told int64         // nanoseconds since 1970; zero until it is told
	here time.Duration // after the first sight
}

// set records in m what Kubernetes tells; if that is new, here gives our time.
func (of *sight) set(m *moment, told time.Time, here func() time.Time) time.Time {
	if told.IsZero() {
		return told
	}
	if m.told != told.UnixNano() {
		m.told, m.here = told.UnixNano(), here().Sub(of.first)
	}
	return of.first.Add(m.here)
}

// at is the sight of an object, and whether a first list brings it now. Callers hold
// s.mu.
func (s *sights) at(uid types.UID, listed bool, now time.Time) (of *sight, found bool) {
	of, known := s.of[uid]
	if !known {
		of = &sight{first: now, found: listed}
		s.of[uid] = of
	}
	return of, listed && !known
}

// ago is a past time as our clock shows it: not later than now.
func (s *sights) ago(now, told time.Time) time.Time {
	return now.Add(-max(0, now.Add(s.skew()).Sub(told)))
}

// kjob converts the times of a kjob. listed: the first list isn't complete.
func (s *sights) kjob(k *Job, listed bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	of, found := s.at(k.UID, listed, now)
	made := now.Add(-max(0, now.Sub(k.Sent)))
	switch by := k.Job.ScheduledAt; { // a kjob of the release before doesn't say it
	case !k.Sent.IsZero():
	case !k.Finished:
		made = now // it gets all of the time that it may take, anew
	case by.Before(now):
		made = now.Add(-now.Sub(by)) // not before its job
	default:
		made = time.Time{}
	}
	here := func(told time.Time) func() time.Time {
		return func() time.Time {
			if !found {
				return now
			}
			return decide.Later(s.ago(now, told), made)
		}
	}
	if k.Made = k.CreatedAt; of.found {
		k.Found = of.first
	}
	k.CreatedAt = of.set(&of.created, k.CreatedAt, here(k.CreatedAt))
	k.SuspendedAt = of.set(&of.suspended, k.SuspendedAt, here(k.SuspendedAt))
	k.ResumedAt = of.set(&of.resumed, k.ResumedAt, here(k.ResumedAt))
	k.DeletedAt = of.set(&of.deleted, k.DeletedAt, here(k.DeletedAt))
	k.FinishedAt = of.set(&of.ended, k.FinishedAt, here(k.FinishedAt))
}

// pod converts the times of a pod. A deletion's time is when it is to be over.
func (s *sights) pod(p *Pod, listed bool) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	of, found := s.at(p.UID, listed, now)
	here := func(told time.Time) func() time.Time {
		return func() time.Time {
			if found {
				return s.ago(now, told)
			}
			return now
		}
	}
	p.Started = p.StartedAt
	p.CreatedAt = of.set(&of.made, p.CreatedAt, here(p.CreatedAt))
	p.StartedAt = of.set(&of.started, p.StartedAt, here(p.StartedAt))
	p.GoneBy = of.set(&of.goneBy, p.GoneBy, func() time.Time {
		left := p.grace
		if found {
			left = min(left, p.GoneBy.Sub(now.Add(s.skew())))
		}
		return now.Add(left)
	})
}

// forget is for an object that is gone.
func (s *sights) forget(uid types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, uid)
}
