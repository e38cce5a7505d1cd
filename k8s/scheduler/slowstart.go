package scheduler

import (
	"context"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

const (
	// readsPulls is how long a node takes for a pod before its Events are read: what
	// they say of the images explains nothing else.
	readsPulls = 5 * time.Second
	// pullsWithin is how long a line may wait for its turn to read Events; after that it
	// is told without the images.
	pullsWithin = 5 * time.Minute
)

// startOf is how an attempt came to its start, as far as the cache and the runner's last
// message show it, by Kubernetes' own times.
func (q *queue) startOf(id contract.JobID, f decide.Facts) decide.Start {
	s := decide.Start{Attempt: f.Attempt}
	if k := q.claims.last(id); k != nil {
		s.Made, s.Waited, s.Admitted = k.Made, k.Waited, k.Admitted
	}
	for _, p := range q.store.PodsOf(id) {
		if p.Name == f.Pod.Name {
			s.Pod, s.Scheduled, s.Running = p.Made, p.Scheduled, p.Started
		}
	}
	if f.Pod.Over() || f.KJob.Finished {
		s.Acquired = decide.AcquiredAt(f.Pod)
	}
	return s
}

// tellSlowStart puts on the job's page, once an attempt, what its start was made of, if
// that took long. An attempt that started under a leader before us was that leader's to
// tell of.
func (q *queue) tellSlowStart(ctx context.Context, id contract.JobID, f decide.Facts, s decide.Start) {
	most := time.Duration(*q.set.Load().SlowStart)
	if most == 0 || s.Total() < most {
		return
	}
	known := s
	if known.Acquired = (time.Time{}); known.Total() < most { // the end told that it was slow
		known.Running = later(known.Running, endOf(f))
	}
	if q.wasBefore(known.Running) {
		return
	}
	line := lineOf(f.Attempt, decide.Decision{Topic: decide.TopicSlowStart})
	if q.pages.has(id, line) {
		return
	}
	if s.Prepared() >= readsPulls {
		if !q.reads.may(false, true) && time.Since(s.Running.Add(-q.s.skew())) < pullsWithin {
			q.work.AddAfter(id, decide.NoticeAfter+jitter.UpTo(q.turn()/2))
			return
		}
		cctx, cancel := context.WithTimeout(ctx, warningsWithin)
		defer cancel()
		es, err := events.On(cctx, q.s.kube, q.store.Namespace, "Pod", f.Pod.Name)
		if err != nil { // the line says less
			q.log.Debug("Events not read", "job_id", id, "err", err)
		}
		s.Pulls = events.Pulls(es)
	}
	q.tell(id, line, s.Text(), maxTold, nil)
}
