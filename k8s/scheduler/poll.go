package scheduler

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

const (
	// busyFor is how long a queue is polled fast after its last new job, and
	// after the start.
	busyFor = time.Minute
	// minGap is between two polls even when events ask for one.
	minGap = 120 * time.Millisecond
	// reserveFor is the first reservation: what a death between reserve and
	// create, a lost reply or a failed create costs at most.
	reserveFor = 20 * time.Second
	// maxAhead bounds the claims of a queue: what is created in two or three
	// seconds, and one call's worth.
	maxAhead = stacks.MaxBatch
	maxPages = 20
	// fewRefused polls in a row that Buildkite refuses stop no queue whose token it
	// accepts. Each is followed by a wait that is twice as long, of 31 s together.
	fewRefused = 5
	// While jobs wait for slots, what the later pages had is used for
	// backlogTimes as long as it took to read them, 3 s for all twenty at the rate
	// that Buildkite allows: a slot that is freed meanwhile mustn't wait for them,
	// and what is more urgent there may wait for backlogLife.
	backlogTimes = 4
	backlogLife  = 12 * time.Second
)

// candidate is an attempt that could be made now.
type candidate struct {
	job     stacks.Job
	attempt int
}

// pollLoop asks for scheduled jobs until ctx ends.
func (q *queue) pollLoop(ctx context.Context) {
	lastNews := time.Now()
	refused := 0 // polls in a row
	for {
		if q.stopped() != nil && !q.untilRetry(ctx) {
			return
		}
		if !q.templateTaken(ctx) {
			continue
		}
		began, stops := time.Now(), q.stopCount()
		news, err := q.tick(ctx)
		q.alive()
		if ctx.Err() != nil {
			return
		}
		q.noteAnswer(err)
		if news {
			lastNews = began
		}
		switch {
		case err == nil:
			refused = 0
			q.recovered(stops, news)
		case errors.Is(err, stacks.ErrNotFound):
			// Somebody deregistered the stack; or the queue is gone.
			if err := q.register(ctx); err != nil && !stacks.Temporary(err) && ctx.Err() == nil {
				q.stop(err)
			}
		case errors.Is(err, stacks.ErrRefused) && refused < fewRefused:
			// A proxy's answer, or the token's, which stops the queue.
			if !q.refusal(ctx, err) {
				q.log.Warn("polling was refused, though the token is accepted", "err", err)
			}
			jitter.Sleep(ctx, jitter.Around(time.Second<<refused, 0.1))
			refused++
		case !stacks.Temporary(err):
			q.stop(err) // the list, and reservations, are the queue's own affair
		default:
			// The endpoint's gate does the waiting.
			q.log.Warn("polling", "err", err)
		}
		if q.stopped() != nil {
			continue
		}
		interval := q.set.Load().idle
		if time.Since(lastNews) < busyFor && !q.full() {
			interval = config.MinPoll
		}
		least := minGap
		if q.kubernetesAway() {
			interval, least = max(interval, outagePoll), outagePoll
		}
		if !pause(ctx, time.Until(began.Add(jitter.Around(interval, 0.1))), q.wakeup) { // many schedulers mustn't beat in step
			return
		}
		if gap := time.Until(began.Add(least)); gap > 0 && !jitter.Sleep(ctx, gap) {
			return
		}
	}
}

// full: the last look left jobs, and as many as may be are about to be created.
// A page of a thousand jobs is most of a look's work and would change nothing;
// onKjob wakes the loop when half of them are there.
func (q *queue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.starved && len(q.claims) > maxAhead/2
}

// tick compares what Buildkite has scheduled with what there is, and claims
// what there is room for. It reports whether there was anything new.
func (q *queue) tick(ctx context.Context) (news bool, err error) {
	set := q.set.Load()
	list, err := q.list(ctx, set)
	if err != nil {
		return false, err
	}
	if list.paused {
		q.unmatched.sweep(time.Now())
		return false, nil // what waits for another attempt waits too
	}
	take := list.candidates
	slices.SortFunc(take, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.job.Priority, a.job.Priority), a.job.ScheduledAt.Compare(b.job.ScheduledAt), cmp.Compare(a.job.ID, b.job.ID))
	})
	defer q.onUnmatched(ctx, set, list.unmatched) // what can be taken goes first
	free := 0
	if len(take) > 0 { // else there is nothing to count for
		free = q.free(set)
	}
	q.mu.Lock()
	room := min(free, maxAhead-len(q.claims))
	q.starved = len(take) > room
	q.mu.Unlock()
	if take = take[:max(0, min(len(take), room))]; len(take) == 0 {
		return len(list.candidates) > 0 && free > 0, nil
	}
	taken := map[contract.JobID]bool{}
	for _, c := range take {
		taken[c.job.ID] = true
	}
	q.later.jobs = slices.DeleteFunc(q.later.jobs, func(j stacks.Job) bool { return taken[j.ID] })
	return true, q.claimAll(ctx, set, take)
}

// claimAll reserves and, for what Buildkite gave, makes claims.
func (q *queue) claimAll(ctx context.Context, set *settings, take []candidate) error {
	ids := make([]contract.JobID, 0, len(take))
	for _, c := range take {
		ids = append(ids, c.job.ID)
	}
	// Reservations that end soon ride along in the same call.
	ids = append(ids, q.expiring(renewShort, stacks.MaxBatch-len(ids)%stacks.MaxBatch)...)
	began := time.Now()
	got, err := q.client.Reserve(ctx, ids, reserveFor)
	held := q.heldUntil(got, began, reserveFor)
	var claimed []contract.JobID
	q.mu.Lock()
	for _, c := range take {
		switch {
		case held[c.job.ID]:
		case err != nil:
			// It may be reserved all the same: ask for it again, rather than
			// wait until it is listed again.
			q.retries[c.job.ID] = retry{job: c.job, attempt: c.attempt, due: began}
			continue
		default:
			if m := q.states[c.job.ID]; m != nil {
				m.ask = true
			}
			delete(q.retries, c.job.ID)
			continue
		}
		if q.claims[c.job.ID] != nil {
			continue
		}
		q.claims[c.job.ID] = &claim{job: c.job, attempt: c.attempt, at: time.Now()}
		delete(q.retries, c.job.ID)
		claimed = append(claimed, c.job.ID)
		if c.attempt == 1 { // a later one didn't wait since then
			q.s.metrics.took(q.name, phaseReserved, c.job.ScheduledAt, began)
		}
	}
	q.mu.Unlock()
	if set.template.NeedsEnv() {
		q.fetchEnv(ctx, claimed)
	}
	for _, id := range claimed {
		q.s.creates.Add(item{q, id})
	}
	return err
}

// fetchEnv asks for the environment of claims; one that can't be had is tried
// again by the create.
func (q *queue) fetchEnv(ctx context.Context, ids []contract.JobID) {
	// In an outage each would wait for the endpoint's next probe, and the poll
	// with them: the first failure ends it.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, id := range ids {
		g.Go(func() error {
			env, err := q.client.Env(ctx, id)
			if err != nil {
				return err
			}
			q.mu.Lock()
			if c := q.claims[id]; c != nil {
				c.env = env
			}
			q.mu.Unlock()
			return nil
		})
	}
	_ = g.Wait() // the creates ask again
}

// heldUntil notes reservations that Buildkite has confirmed, of a request that
// was sent at a time: what was learned after it is newer.
func (q *queue) heldUntil(got []contract.JobID, sent time.Time, d time.Duration) map[contract.JobID]bool {
	held := make(map[contract.JobID]bool, len(got))
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range got {
		held[id] = true
		m := q.state(id)
		m.reservedUntil = sent.Add(d)
		m.Reserved(sent, time.Now())
	}
	return held
}

// announced reports whether another attempt at a job is due, or may be: the last one's
// end isn't told or decided yet. The job stays ours when the queue's tags change, and its
// page must not depend on whether the poll or a worker is faster.
func (q *queue) announced(id contract.JobID) bool {
	q.mu.Lock()
	_, due := q.retries[id]
	m := q.states[id]
	tried := m != nil && m.Attempts() > 0
	gone := tried && m.Gone() > 0
	q.mu.Unlock()
	switch {
	case due, !tried:
		return due
	case !gone:
		return len(q.store.KjobsOf(id)) == 0 // the informer is about to tell of its deletion
	}
	d, _ := q.decide(id)
	return d.Action == decide.Attempt || d.Action == decide.Ask
}

// offer is asked about a job that Buildkite lists as scheduled: which attempt
// could be made at it now, or 0.
func (q *queue) offer(j stacks.Job, at time.Time) int {
	last := len(q.store.KjobsOf(j.ID)) > 0
	q.mu.Lock()
	m := q.states[j.ID]
	claimed := q.claims[j.ID] != nil
	if m != nil && !claimed && m.Listed(at, time.Now()) {
		m.reservedUntil = time.Time{}
	}
	known := m != nil && (m.Gone() > 0 || m.verdict != nil)
	attempts, told := 0, decide.History(nil)
	if m != nil {
		attempts, told = m.Attempts(), m.story
	}
	due := q.retries[j.ID].due
	if !last && !known && m != nil && m.finishFailed != nil {
		due = decide.Later(due, m.finishFailed.again) // another create would only lead there again
	}
	q.mu.Unlock()
	switch {
	case claimed, time.Now().Before(due):
		return 0
	case !last && !known && q.orphaned(j.ID):
		return 0
	case !last && !known:
		if d := decide.NextAttempt(attempts, told, q.set.Load().policy()); d.Action != decide.Attempt {
			q.giveUp(j.ID, d)
			return 0
		}
		return attempts + 1
	}
	d, f := q.decide(j.ID)
	if d.Action == decide.Attempt && !time.Now().Before(d.NotBefore) {
		q.announce(j.ID, d, f)
		return f.Attempt + 1
	}
	q.work.Add(j.ID)
	if d.Action == decide.None && f.KJob.Exists && !f.KJob.Finished {
		signal(q.lapsed)
	}
	return 0
}

// orphaned reports whether a pod may be running of a kjob that is gone, and that
// nobody remembers. It may yet acquire the job; there is never a second beside it.
func (q *queue) orphaned(id contract.JobID) bool {
	seen := q.seen(id)
	if len(seen.Pods) == 0 {
		return false // and nothing is to be remembered of it
	}
	q.mu.Lock()
	d, orphaned := q.state(id).Orphaned(seen)
	q.mu.Unlock()
	if d.Waiting {
		q.tellWaiting(id, d)
	}
	return orphaned
}
