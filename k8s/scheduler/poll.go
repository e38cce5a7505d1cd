package scheduler

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/stacks"
)

const (
	// busyFor is how long a queue is polled fast after its last new job, and
	// after the start.
	busyFor = time.Minute
	// minGap is between two polls even when events ask for one.
	minGap = 120 * time.Millisecond
	// reserveFor is the first reservation. A death between reserve and create, a lost
	// reply or a failed create costs at most this.
	reserveFor = 20 * time.Second
	// maxAhead bounds the claims of a queue: what is created in two or three
	// seconds, and one call's worth.
	maxAhead = stacks.MaxBatch
	maxPages = 20
	// fewRefused is how many polls in a row Buildkite may refuse before the queue is
	// stopped, if it accepts the token. The waits between them double, 31 s together.
	fewRefused = 5
	// While jobs wait for slots, the later pages are used again for backlogTimes as
	// long as it took to read them: 3 s for all twenty at Buildkite's rate. A slot that
	// becomes free must not wait for reading them, and more urgent jobs there may wait
	// for backlogLife.
	backlogTimes = 4
	backlogLife  = 12 * time.Second
)

// pollLoop asks for scheduled jobs until ctx ends.
func (q *queue) pollLoop(ctx context.Context) {
	lastNews := time.Now()
	refused := 0 // polls in a row
	for {
		if q.standing.now().stopped != nil && !q.untilRetry(ctx) {
			return
		}
		claims := q.templateTaken(ctx) // else the queue is stopped: what waits is counted and told
		began := time.Now()
		news, err := q.poll(ctx, refused, claims)
		if ctx.Err() != nil {
			return
		}
		q.standing.answers(!errors.Is(err, stacks.ErrUnavailable))
		if news {
			lastNews = began
		}
		switch {
		case err == nil:
			refused = 0
		case errors.Is(err, stacks.ErrRefused):
			refused++
		}
		if q.standing.now().stopped == nil && !q.untilNext(ctx, began, lastNews) {
			return
		}
	}
}

// poll looks once, takes jobs if claims is set, and handles an error. refused is how
// many polls before were refused in a row.
func (q *queue) poll(ctx context.Context, refused int, claims bool) (news bool, err error) {
	stops := q.standing.stopCount()
	news, err = q.tick(ctx, claims)
	q.standing.alive()
	switch {
	case ctx.Err() != nil:
	case err == nil && !claims:
		if refused := q.standing.lastTry().refused; refused != nil {
			q.stop(refused) // and for nothing else, as Buildkite answers
		}
	case err == nil:
		q.recovered(stops, news)
	case errors.Is(err, stacks.ErrNotFound):
		// Somebody deregistered the stack; or the queue is gone.
		if err := q.register(ctx); err != nil && !stacks.Temporary(err) && ctx.Err() == nil {
			q.stop(err)
		}
	case errors.Is(err, stacks.ErrRefused) && refused < fewRefused:
		// The answer is a proxy's, or it is about the token, which stops the queue.
		if !q.refusal(ctx, err) {
			q.log.Warn("Buildkite refused to list jobs, but accepts the token", "err", err)
		}
		jitter.Sleep(ctx, jitter.Around(time.Second<<refused, 0.1))
	case !stacks.Temporary(err) && claims:
		q.stop(err) // the list, and reservations, are the queue's own affair
	default:
		// The endpoint's gate does the waiting.
		q.log.Warn("polling", "err", err)
	}
	return news, err
}

// untilNext waits until the next poll is due, after one that began at a time; false
// means that ctx ended.
func (q *queue) untilNext(ctx context.Context, began, lastNews time.Time) bool {
	interval := q.set.Load().idle
	if time.Since(lastNews) < busyFor && !q.claims.full() {
		interval = config.MinPoll
	}
	least := minGap
	if q.kubernetesAway() {
		interval, least = max(interval, outagePoll), outagePoll
	}
	if !pause(ctx, time.Until(began.Add(jitter.Around(interval, 0.1))), q.wakeup) { // many schedulers mustn't beat in step
		return false
	}
	gap := time.Until(began.Add(least))
	return gap <= 0 || jitter.Sleep(ctx, gap)
}

// tick compares the scheduled jobs with what exists, and claims as many as there is
// room for, if claims is set. It reports whether there was anything new.
func (q *queue) tick(ctx context.Context, claims bool) (news bool, err error) {
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
	inLine(take)
	if claims && len(take)+q.claims.count() > 0 {
		q.lookForMirrors(ctx, set)
	}
	defer q.onUnmatched(ctx, set, list.unmatched) // what can be taken goes first
	if !claims {
		q.line.Store(list.line(take))
		return false, nil
	}
	free := 0
	if len(take) > 0 { // else there is nothing to count for
		free = q.free(set)
	}
	room := q.claims.room(len(take), free)
	q.line.Store(list.line(take[room:]))
	q.tellAhead(take[room:], *set.MaxInFlight)
	if take = take[:room]; len(take) == 0 {
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
	ids = append(ids, q.claims.expiring(renewShort, stacks.MaxBatch-len(ids)%stacks.MaxBatch)...)
	began := time.Now()
	held, err := q.reserve(ctx, ids, reserveFor)
	claimed := q.claims.take(take, held, began, err != nil)
	for _, c := range claimed {
		var since time.Time
		if c.attempt == 1 { // a later one didn't wait since then
			since = q.waiting.since(c.job)
			q.took(c.job.ID, phaseReserved, since, began)
		}
		q.onWay(c.job.ID, c.attempt, func(w *way) { w.since, w.asked, w.reserved = since, began, time.Now() })
	}
	create := func(c candidate) { q.s.creates.Add(item{q, c.job.ID}) }
	if set.template.WantsEnv() {
		q.fetchEnv(ctx, claimed, create)
		return err
	}
	for _, c := range claimed {
		create(c)
	}
	return err
}

// envWithin is how long the poll waits for environments.
const envWithin = 2 * time.Second

// fetchEnv asks for the environment of claims and has each created as soon as its own is
// there: the first must not wait for that of the thousandth. What isn't there in time the
// creates ask for, one at a time at first: all queues share them, and a reply that is late
// may never come.
func (q *queue) fetchEnv(ctx context.Context, claimed []candidate, create func(candidate)) {
	ctx, cancel := context.WithTimeout(ctx, envWithin)
	defer cancel()
	// In an outage each request would wait for the endpoint's next probe, and the poll
	// with it: the first failure ends them all.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for _, c := range claimed {
		g.Go(func() error {
			defer create(c)
			env, err := q.client.Env(ctx, c.job.ID)
			if err == nil {
				q.claims.setEnv(c.job.ID, env)
			}
			return err
		})
	}
	_ = g.Wait() // the creates ask again
}
