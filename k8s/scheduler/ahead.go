package scheduler

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// A job that waits for a slot is told how far back it is. Nobody has reserved it: whether
// Buildkite takes a text for such a job nobody outside knows, nor for one whose tags no queue
// has (docs/assumptions.md#notify-unreserved). Where it doesn't, `onejob explain`, the status
// page and onejob_queue_jobs say the same.
const (
	// aheadAfter is how long a job waits before that.
	aheadAfter = 30 * time.Second
	// aheadEvery is the least time to the next text, doubled after each.
	aheadEvery = time.Minute
	maxAheads  = 5
	// aheadLooks is between two looks at who is due, which goes through all that wait.
	aheadLooks = 10 * time.Second
	// aheadAtOnce bounds the texts of one look, which are one call.
	aheadAtOnce = 250
	// aheadTries is how many texts Buildkite may refuse before it takes one (a page may be
	// full, or its job long over), and how many batches in a row may get no answer, before
	// none is sent for aheadRest. After that one is as good as these.
	aheadTries = 3
	aheadRest  = 10 * time.Minute
)

// ahead is what a job was told of its place. A leader that begins later tells it anew.
type ahead struct {
	told, last int // how many texts, and how many jobs were ahead in the last one
	next       time.Time
}

// line is what the last look at a queue left waiting: for whoever asks, see status.go.
type line struct {
	at time.Time
	// jobs could be started. Ask first for the order in which they will be.
	jobs                       []candidate
	unsorted                   bool
	sort                       sync.Once
	listed, strangers, retries int
	oldest                     time.Time
}

func (l listing) line(jobs []candidate) *line {
	return &line{at: time.Now(), jobs: jobs, listed: len(l.seen), strangers: l.strangers, retries: l.waiting, oldest: l.oldest}
}

// first are the jobs that will be started next. They are sorted when somebody asks: the
// list of a paused queue may have thousands, and each look has a new one.
func (l *line) first(n int) []candidate {
	if l.unsorted {
		l.sort.Do(func() { inLine(l.jobs) })
	}
	return l.jobs[:min(len(l.jobs), n)]
}

// inLine sorts jobs as they are started.
func inLine(jobs []candidate) {
	slices.SortStableFunc(jobs, func(a, b candidate) int { return stacks.Before(a.job, b.job) })
}

// aheads paces what is told. Only the poll loop has looked.
type aheads struct {
	looked time.Time
	texts  chan []stacks.Notification
	rest   atomic.Bool
}

// tellAhead tells the jobs that wait for a slot, in their order, how many are ahead. The
// texts go in calls of their own, so that no other waits for them.
func (q *queue) tellAhead(jobs []candidate, most int) {
	now := time.Now()
	if len(jobs) == 0 || most == 0 || now.Sub(q.aheads.looked) < aheadLooks || q.aheads.rest.Load() || len(q.aheads.texts) > 0 {
		return
	}
	q.aheads.looked = now
	held := q.claims.held()
	if held < most {
		return // they wait for something else
	}
	var texts []stacks.Notification
	for i, c := range jobs {
		if len(texts) == aheadAtOnce {
			break
		}
		w := q.waiting.jobs[c.job.ID]
		if w == nil || c.attempt > 1 || !w.ahead.due(now, w.since, i) {
			continue
		}
		w.ahead = ahead{told: w.ahead.told + 1, last: i, next: now.Add(aheadEvery << w.ahead.told)}
		texts = append(texts, stacks.Notification{JobID: c.job.ID, Detail: decide.Ahead(i, held, most)})
	}
	if len(texts) > 0 {
		q.aheads.texts <- texts // there is room for them: nobody else sends any
	}
}

// sendAheads sends those texts until ctx ends. What Buildkite doesn't get it doesn't need,
// so none is sent twice, but one that it refuses keeps no other job's back.
func (q *queue) sendAheads(ctx context.Context) {
	for failed, refused, tries := 0, 0, aheadTries; ; {
		var texts []stacks.Notification
		select {
		case <-ctx.Done():
			return
		case texts = <-q.aheads.texts:
		}
		told := q.client.NotifyAside(ctx, texts, tries-refused)
		switch refused += told.Refused; {
		case ctx.Err() != nil:
			return
		case told.Taken > 0: // so these texts are taken, but for those
			q.notices.Dropped(refused)
			failed, refused, tries = 0, 0, aheadTries
		case told.Refused == 0:
			failed++
		}
		if failed < tries && refused < tries {
			continue
		}
		q.log.Info("jobs that wait are not told their place for a while: Buildkite doesn't take these texts", "refused", refused, "err", told.Err, "retry_in", aheadRest)
		q.aheads.rest.Store(true)
		if !jitter.Sleep(ctx, aheadRest) {
			return
		}
		q.aheads.rest.Store(false)
		failed, refused, tries = 0, 0, 1
	}
}

func (a ahead) due(now, since time.Time, place int) bool {
	news := a.told == 0 || a.last != place
	return news && a.told < maxAheads && now.Sub(since) >= aheadAfter && !now.Before(a.next)
}
