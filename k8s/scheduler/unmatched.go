package scheduler

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/stacks"
)

const (
	// unmatchedAfter is how long a job is listed before anything is said: another
	// agent or stack at the same queue, whose tags match, takes it first.
	unmatchedAfter = 25 * time.Second
	// unmatchedGap is how long a job may be off the list, two idle intervals apart,
	// before somebody else is taken to have had it meanwhile; the list's later pages
	// may be as old as backlogLife.
	unmatchedGap = 2 * backlogLife
	// unmatchedLife is how long a job is remembered that is listed no more: pages
	// may fail, and a reservation of somebody else's may lapse.
	unmatchedLife = 10 * time.Minute
	// unmatchedAgain is between two tries to reserve a job that is to be failed.
	unmatchedAgain = 30 * time.Second
	// unmatchedAtOnce bounds the notifications that are on their way, so that
	// thousands push out nobody else's, and their Events are not dropped.
	unmatchedAtOnce = 250
)

// unmatched are a queue's listed jobs whose rules its tags don't meet: as many
// as are listed, and those of the last unmatchedLife. Only the poll loop has it.
//
// Buildkite doesn't tell what was told of a job. That it was is known to later
// leaders by the Event, see recall: for as long as Kubernetes keeps Events, an hour by
// default. A leader that begins later tells the same once more.
type unmatched map[contract.JobID]*unmatchedJob

type unmatchedJob struct {
	since   time.Time   // when it was listed first, without a gap
	seen    time.Time   // when it was listed last
	told    time.Time   // when its page was told, zero if it wasn't
	tried   time.Time   // when it was last to be reserved and failed
	settled atomic.Bool // Buildkite has taken what was told, or won't
}

// recalled: a leader before us has told a job's page.
func (u unmatched) recalled(id contract.JobID, now time.Time) {
	j := &unmatchedJob{seen: now, told: now}
	j.settled.Store(true)
	u[id] = j
}

// listed notes that a job was listed at a time, of a queue that is listed every so often,
// and reports whether it is due.
func (u unmatched) listed(id contract.JobID, at time.Time, set *settings, every time.Duration) bool {
	j := u[id]
	if j == nil {
		j = &unmatchedJob{}
		u[id] = j
	}
	if j.since.IsZero() || at.Sub(j.seen) > unmatchedGap+2*every {
		j.since = at
	}
	j.seen = at
	if at.Sub(j.since) < unmatchedAfter {
		return false
	}
	switch set.Unmatched {
	case config.UnmatchedFail:
		return at.Sub(j.tried) >= unmatchedAgain
	case config.UnmatchedNotify:
		return j.told.IsZero()
	}
	return false
}

// isUnderWay: its page is being told, as far as is known.
func (j *unmatchedJob) isUnderWay(now time.Time) bool {
	return !j.told.IsZero() && !j.settled.Load() && now.Sub(j.told) < unmatchedLife
}

// sweep forgets what is listed no more, and counts what is on its way to a page.
// What the notifier has dropped isn't, however it looks.
func (u unmatched) sweep(now time.Time) (underWay int) {
	for id, j := range u {
		switch {
		case now.Sub(j.seen) > unmatchedLife:
			delete(u, id)
		case j.isUnderWay(now):
			underWay++
		}
	}
	return underWay
}

// home is where Buildkite says that a queue is: its token's cluster and the key there.
type home struct{ cluster, key string }

// neighbours are the configured queues as one of them sees them.
type neighbours struct {
	// queues are the settings of those in the same cluster of Buildkite's, its own first.
	queues []config.Queue
	// tags are of those that are the same queue there by another name, or may be: of
	// one that isn't served, or has not registered yet, nobody knows. Its own are first.
	tags [][]string
	// silent: another one of the same queue, by an earlier name, tells of what is
	// unmatched, or fails it.
	silent bool
}

// takes reports whether a job is one of the queue's, or of another one of ours that is,
// or may be, the same queue at Buildkite.
func (n neighbours) takes(rules []string) bool {
	return slices.ContainsFunc(n.tags, func(t []string) bool { return stacks.Match(rules, t) })
}

func (q *queue) neighbours(set *settings) neighbours {
	own := q.isAt()
	n := neighbours{queues: []config.Queue{set.Queue}, tags: [][]string{set.Tags}}
	configured, served := q.s.queuesByName()
	for _, c := range configured {
		switch other := served[c.Name]; {
		case other == q: // its own to be, if its template can't be used now
			n.tags = append(n.tags, c.Tags)
		case other == nil, own == (home{}), other.isAt() == (home{}):
			n.tags = append(n.tags, c.Tags)
		default:
			n.add(own, set.Name, c, other)
		}
	}
	return n
}

// add is for another queue that is served, of those of which it is known where they are.
func (n *neighbours) add(own home, name string, c config.Queue, other *queue) {
	at, its := other.isAt(), other.set.Load().Queue
	if at.cluster != own.cluster {
		return
	}
	n.queues = append(n.queues, its)
	if at != own || own.key == "" {
		return
	}
	n.tags = append(n.tags, its.Tags, c.Tags)
	speaks := its.Unmatched != config.UnmatchedIgnore && other.standing.now().looksAfter()
	if speaks && its.Name < name {
		n.silent = true
	}
}

func (q *queue) isAt() home {
	if at := q.home.Load(); at != nil {
		return *at
	}
	return home{}
}

// onUnmatched does about the jobs that are due what the queue's setting says.
func (q *queue) onUnmatched(ctx context.Context, set *settings, due []stacks.Job) {
	room := unmatchedAtOnce - q.unmatched.sweep(time.Now())
	due = slices.DeleteFunc(due, func(j stacks.Job) bool {
		forgotten := q.unmatched[j.ID] == nil // its page was asked for before an outage
		return forgotten || q.atWork(j.ID)
	})
	if due = due[:max(0, min(len(due), room))]; len(due) == 0 {
		return
	}
	queues := q.neighbours(set).queues
	if set.Unmatched == config.UnmatchedFail {
		due = q.failUnmatched(ctx, due, queues)
	}
	for _, j := range due {
		q.tellUnmatched(j, queues)
	}
	if len(due) > 0 {
		q.log.Warn("jobs ask for tags that no queue has", "jobs", len(due), "job_id", due[0].ID, "hint", config.Unmatched(due[0].Rules, queues[0], queues))
	}
}

// atWork: there is a kjob, or a pod that is left of one. The job was ours before
// the tags changed, or is a person's doing, and its runner may be about to get it.
func (q *queue) atWork(id contract.JobID) bool {
	return q.claims.has(id) || len(q.store.KjobsOf(id))+len(q.store.PodsOf(id)) > 0
}

// tellUnmatched says on a job's page, and in an Event when that has been settled,
// why no queue takes it.
func (q *queue) tellUnmatched(j stacks.Job, queues []config.Queue) {
	text, u := config.Unmatched(j.Rules, queues[0], queues), q.unmatched[j.ID]
	u.told = time.Now()
	q.s.metrics.decided(q.name, j.Pipeline, decide.None, decide.ReasonUnmatched)
	q.notices.Add(j.ID, text, func() {
		u.settled.Store(true)
		// Not q.event, which would remember each for an hour.
		q.s.events.Event(q.store.Namespace, contract.KjobName(j.ID, 1), "", true, events.Unmatched, text, decide.Decision{Reason: decide.ReasonUnmatched})
	})
}

// failUnmatched reserves jobs and has those finished that are ours then: nobody
// else has them, and a death before the finish costs them reserveFor. It returns
// those that Buildkite wouldn't reserve though they are still listed, and whose
// pages weren't told.
func (q *queue) failUnmatched(ctx context.Context, due []stacks.Job, queues []config.Queue) (left []stacks.Job) {
	ids := make([]contract.JobID, 0, len(due))
	for _, j := range due {
		ids = append(ids, j.ID)
	}
	began := time.Now()
	held, err := q.reserve(ctx, ids, reserveFor)
	for _, j := range due {
		u := q.unmatched[j.ID]
		again := !u.tried.IsZero()
		u.tried = began
		switch {
		case held[j.ID]:
			q.claims.isOf(j)
			q.giveUp(j.ID, decide.Unmatched(config.Unmatched(j.Rules, queues[0], queues)))
		case err == nil && again && u.told.IsZero():
			left = append(left, j)
		}
	}
	if err != nil && ctx.Err() == nil && !q.refusal(ctx, err) {
		q.log.Warn("jobs with unmatched tags not reserved", "err", err, "retry_in", unmatchedAgain.String())
	}
	return left
}
