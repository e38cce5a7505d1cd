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
}

// backlog is what was listed beyond the first page, less what has been claimed
// since. Only the poll loop has it.
type backlog struct {
	jobs      []stacks.Job
	bad       int
	at, until time.Time // when it was read, and until when it is used
}

// list reads as many pages as could be used, and adds the new attempts that
// are due.
func (q *queue) list(ctx context.Context, set *settings) (listing, error) {
	var out listing
	var depth, unmatched, bad int
	var oldest time.Time
	seen := map[contract.JobID]bool{}
	all := q.neighbours(set)
	look := func(jobs []stacks.Job, at time.Time) {
		for _, j := range jobs {
			if seen[j.ID] {
				continue
			}
			seen[j.ID] = true
			depth++
			if oldest.IsZero() || j.ScheduledAt.Before(oldest) {
				oldest = j.ScheduledAt
			}
			if !stacks.Match(j.Rules, set.Tags) && !q.announced(j.ID) {
				if all.takes(j.Rules) {
					continue
				}
				unmatched++
				if !all.silent && q.unmatched.listed(j.ID, at, set) {
					out.unmatched = append(out.unmatched, j)
				}
				continue
			}
			if n := q.offer(j, at); n > 0 {
				out.candidates = append(out.candidates, candidate{j, n})
			}
		}
	}
	q.mu.Lock()
	hungry := q.starved
	q.mu.Unlock()
	later := backlog{at: time.Now()}
	for cursor, pages := "", 0; ; {
		began := time.Now()
		page, err := q.client.ScheduledJobs(ctx, cursor, stacks.MaxBatch)
		if err != nil {
			return out, err
		}
		out.paused, bad = page.Paused, bad+page.Bad
		q.mu.Lock()
		q.paused = page.Paused // at once: a later page may fail
		q.mu.Unlock()
		look(page.Jobs, began)
		if pages > 0 {
			later.jobs, later.bad = append(later.jobs, page.Jobs...), later.bad+page.Bad
		}
		// Without a cap one page is enough when all of it can be taken at once:
		// what is reserved is off the list, and the next look begins with the
		// rest. With one, a later page may have what is more urgent.
		if cursor, pages = page.Next, pages+1; cursor == "" || pages >= maxPages || *set.MaxInFlight == 0 && len(out.candidates) >= stacks.MaxBatch {
			break
		}
		known := hungry && began.Before(q.later.until) || q.kubernetesAway() && !q.later.at.IsZero()
		if pages == 1 && known {
			later, bad = q.later, bad+q.later.bad
			look(later.jobs, later.at)
			break
		}
	}
	if later.until.IsZero() {
		later.until = time.Now().Add(min(backlogTimes*time.Since(later.at), backlogLife))
	}
	q.later = later
	q.mu.Lock()
	now := time.Now()
	for id, r := range q.retries {
		if !seen[id] && q.claims[id] == nil && !now.Before(r.due) {
			out.candidates = append(out.candidates, candidate{r.job, r.attempt})
		}
	}
	waiting := len(q.retries)
	news := bad > q.bad
	q.bad = bad
	q.mu.Unlock()
	if news {
		q.log.Warn("jobs whose ID is no UUID are left alone", "jobs", bad)
	}

	m := q.s.metrics
	m.depth.WithLabelValues(q.name).Set(float64(depth))
	m.unmatched.WithLabelValues(q.name).Set(float64(unmatched))
	m.retries.WithLabelValues(q.name).Set(float64(waiting))
	wait := 0.0
	if !oldest.IsZero() {
		wait = max(0, time.Since(oldest).Seconds())
	}
	m.oldest.WithLabelValues(q.name).Set(wait)
	paused := 0.0
	if out.paused {
		paused = 1
	}
	m.paused.WithLabelValues(q.name).Set(paused)
	return out, nil
}
