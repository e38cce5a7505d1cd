package scheduler

import (
	"context"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// listing is what one look at a queue found.
type listing struct {
	candidates []candidate
	unmatched  []stacks.Job // of these, what is due to be told or failed
	paused     bool

	seen       map[contract.JobID]bool
	neighbours neighbours
	oldest     time.Time     // since when the job could run that waits longest
	strangers  int           // jobs that no queue takes
	bad        int           // jobs whose ID is not a UUID
	every      time.Duration // between two looks
	waiting    int           // for their next attempt
	pipelines  pipelineWaits
}

// backlog is what the pages after the first had, without what has been claimed since.
// Only the poll loop uses it.
type backlog struct {
	jobs      []stacks.Job
	bad       int
	at, until time.Time // when it was read, and until when it is used
}

// list reads as many pages as could be used, and adds the new attempts that
// are due.
func (q *queue) list(ctx context.Context, set *settings) (listing, error) {
	l := listing{seen: map[contract.JobID]bool{}, pipelines: pipelineWaits{}, neighbours: q.neighbours(set), every: set.idle}
	if q.standing.now().stopped != nil {
		l.every = max(l.every, refusedEvery)
	}
	if err := q.readPages(ctx, set, &l); err != nil {
		return l, err
	}
	q.waiting.forget(time.Now(), l.seen)
	var due []candidate
	due, l.waiting = q.claims.due(l.seen)
	l.candidates = append(l.candidates, due...)
	if l.bad > q.bad {
		q.log.Warn("ignored jobs whose ID is not a UUID", "jobs", l.bad)
	}
	q.bad = l.bad
	q.measureListing(l)
	if l.paused { // else tick knows what waits
		line := l.line(l.candidates)
		line.unsorted = true
		q.line.Store(line)
	}
	return l, nil
}

// readPages reads the list until it ends, or more of it would be of no use.
func (q *queue) readPages(ctx context.Context, set *settings, l *listing) error {
	hungry := q.claims.hungry()
	later := backlog{at: time.Now()}
	for cursor, pages := "", 1; ; pages++ {
		began := time.Now()
		page, err := q.client.ScheduledJobs(ctx, cursor, stacks.MaxBatch)
		if err != nil {
			return err
		}
		l.paused, l.bad, cursor = page.Paused, l.bad+page.Bad, page.Next
		q.standing.pause(page.Paused) // at once: a later page may fail
		q.lookAt(page.Jobs, began, set, l)
		if pages > 1 {
			later.jobs, later.bad = append(later.jobs, page.Jobs...), later.bad+page.Bad
		}
		// Without a cap one page is enough if all of it can be taken at once: reserved
		// jobs leave the list, and the next look begins with the rest. With a cap, a
		// later page may have more urgent jobs.
		enough := *set.MaxInFlight == 0 && len(l.candidates) >= stacks.MaxBatch
		if cursor == "" {
			q.waiting.readToEnd(later.at)
		}
		if cursor == "" || pages >= maxPages || enough {
			break
		}
		if pages == 1 && q.backlogIsGood(began, hungry) {
			l.bad += q.later.bad
			q.lookAt(q.later.jobs, q.later.at, set, l)
			return nil // that backlog is used on
		}
	}
	later.until = time.Now().Add(min(backlogTimes*time.Since(later.at), backlogLife))
	q.later = later
	return nil
}

// backlogIsGood: the later pages needn't be read again, because no slot is free for
// their jobs, or because nothing can be created now.
func (q *queue) backlogIsGood(at time.Time, hungry bool) bool {
	if q.kubernetesAway() {
		return !q.later.at.IsZero()
	}
	return hungry && at.Before(q.later.until)
}

// lookAt sorts jobs that were listed at a time.
func (q *queue) lookAt(jobs []stacks.Job, at time.Time, set *settings, l *listing) {
	for _, j := range jobs {
		if l.seen[j.ID] {
			continue
		}
		l.seen[j.ID] = true
		since, came := q.waiting.listed(j, at)
		if l.oldest.IsZero() || since.Before(l.oldest) {
			l.oldest = since
		}
		q.s.metrics.pipelines.add(l.pipelines, j.Pipeline, since)
		switch {
		case stacks.Match(j.Rules, set.Tags), q.announced(j.ID):
			if n := q.offer(j, at); n > 0 {
				c := candidate{job: j, attempt: n}
				if n == 1 {
					c.since = came
				}
				l.candidates = append(l.candidates, c)
			}
		case l.neighbours.takes(j.Rules):
		default:
			l.strangers++
			if !l.neighbours.silent && q.unmatched.listed(j.ID, at, set, l.every) {
				l.unmatched = append(l.unmatched, j)
			}
		}
	}
}

func (q *queue) measureListing(l listing) {
	m := q.s.metrics
	m.depth.WithLabelValues(q.name).Set(float64(len(l.seen)))
	m.unmatched.WithLabelValues(q.name).Set(float64(l.strangers))
	m.retries.WithLabelValues(q.name).Set(float64(l.waiting))
	wait := 0.0
	if !l.oldest.IsZero() {
		wait = max(0, time.Since(l.oldest).Seconds())
	}
	m.oldest.WithLabelValues(q.name).Set(wait)
	m.pipelines.wait(q.name, l.pipelines)
	m.paused.WithLabelValues(q.name).Set(asNumber(l.paused))
}
