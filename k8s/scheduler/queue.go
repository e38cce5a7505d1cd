package scheduler

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// settings is what may change about a queue while it is served.
type settings struct {
	config.Queue
	endpoint string
	idle     time.Duration
	template *kjob.Template
}

func (s *settings) policy() decide.Policy {
	return PolicyOf(s.Queue, time.Duration(s.template.Grace())*time.Second)
}

// PolicyOf is a completed queue's share of decisions, with the grace of its
// template.
func PolicyOf(q config.Queue, grace time.Duration) decide.Policy {
	p := decide.Policy{
		MaxAttempts: *q.MaxAttempts, PendingTimeout: time.Duration(*q.PendingTimeout), SuspendedTimeout: time.Duration(*q.SuspendedTimeout),
		ImageGrace: time.Duration(*q.ImageGrace), FinishLost: q.LostJobs == config.LostFinish, Grace: grace, Hold: time.Duration(*q.Hold), Mounted: q.Programs == config.ProgramsImageVolume,
	}
	if p.PendingTimeout == 0 {
		p.PendingTimeout = decide.NoLimit
	}
	return p
}

// queue serves one Buildkite queue. Its knowledge is in three parts, each with a guard
// of its own: which jobs are its own, whether it may start work, and what has been
// told. No part calls another; the methods here call them one after the other.
type queue struct {
	s       *Scheduler
	name    string
	label   string // name as a label's value
	set     atomic.Pointer[settings]
	home    atomic.Pointer[home] // as of the last registration
	store   *cache.Store
	client  *stacks.Client
	notices *stacks.Notifier
	log     *slog.Logger

	claims   *claims
	standing *standing
	pages    *pages
	rivals   rivals
	mirrors  mirrors

	work   workqueue.TypedRateLimitingInterface[contract.JobID]
	wakeup chan struct{} // the poll loop
	look   chan struct{} // the upkeep loop
	lapsed chan struct{} // the loop that keeps jobs reserved
	reads  *eventReads
	// noteRefused: that the API server takes no annotations of jobs' use was told.
	noteRefused atomic.Bool
	notes       kube.Breaker // for those annotations: they hold up no decision
	since       time.Time    // when it was made, as its process began to lead or later

	// Only the poll loop has these.
	later     backlog
	bad       int // jobs in the last list whose ID is no UUID
	unmatched unmatched
	waiting   waiting
	aheads    aheads

	line atomic.Pointer[line] // nil before the first look
}

func newQueue(s *Scheduler, set *settings, store *cache.Store, client *stacks.Client, before *claims) *queue {
	q := &queue{
		s: s, name: set.Name, label: kjob.LabelValue(set.Name), store: store, client: client,
		log:  s.log.With("queue", set.Name),
		work: newWorkQueue[contract.JobID](s.metrics, set.Name), since: time.Now(),
		wakeup: make(chan struct{}, 1), look: make(chan struct{}, 1), lapsed: make(chan struct{}, 1),
		reads: newEventReads(), pages: newPages(), unmatched: unmatched{}, waiting: waiting{jobs: map[contract.JobID]*waitingJob{}},
		aheads: aheads{texts: make(chan []stacks.Notification, 1)},
	}
	q.claims = newClaims(store, q.label, before)
	q.standing = newStanding(func(ready bool) { s.metrics.setReady(q.name, ready) })
	q.set.Store(set)
	q.notices = stacks.NewNotifier(client, q.log)
	q.notices.Dropped = func(n int) { s.metrics.dropped.WithLabelValues(q.name).Add(float64(n)) }
	return q
}

func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// syncWorkers is how many decisions a queue carries out at a time. They may wait for
// Buildkite, and other queues must not wait for that.
const syncWorkers = 4

// run serves the queue until ctx ends; work that has begun by then may use hard.
func (q *queue) run(ctx, hard context.Context, first func(error)) {
	var wg sync.WaitGroup
	defer wg.Wait()
	notify, stop := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { q.notices.Run(notify) })
	defer stop()
	defer q.s.metrics.forget(q.name)
	defer q.client.Close()
	defer q.work.ShutDown()

	// This comes before begin, which may take longer than deletions are remembered; the
	// informers tell later deletions.
	for _, d := range q.store.Deleted.Of(q.label) {
		if d.Kjob != nil {
			q.onKjob(nil, d.Kjob, true)
		} else {
			q.onPod(d.Pod, true)
		}
	}
	if !q.begin(ctx, first) {
		return
	}
	q.recall(ctx)
	for _, k := range q.store.KjobsIn(q.label) {
		if k.ID != "" {
			q.work.Add(k.ID)
		}
	}
	for _, p := range q.store.PodsIn(q.label) {
		if p.ID != "" {
			q.work.Add(p.ID) // most have a kjob, and are there already
		}
	}
	var workers sync.WaitGroup
	for range syncWorkers {
		workers.Go(func() { q.worker(ctx, hard) })
	}
	workers.Go(func() { q.upkeep(ctx) })
	workers.Go(func() { q.keepReserved(ctx) })
	workers.Go(func() { q.warm(ctx) })
	workers.Go(func() { q.sendAheads(ctx) })
	q.pollLoop(ctx)
	q.work.ShutDown()
	workers.Wait()
}

// begin registers the queue at Buildkite. It retries until that succeeds, and reports
// the first try's result.
func (q *queue) begin(ctx context.Context, first func(error)) bool {
	q.standing.begins()
	for n := 0; ; n++ {
		q.standing.alive() // an outage is not a loop that is stuck
		err := q.register(ctx)
		if n == 0 {
			first(err)
		}
		switch {
		case err == nil:
			q.standing.cannotReach(nil)
			q.recovered(q.standing.stopCount(), true)
			q.log.Info("stack registered", "stack", q.set.Load().Stack)
			q.tellOldStack()
			return true
		case ctx.Err() != nil:
			return false
		case stacks.Temporary(err):
			q.standing.cannotReach(err)
			q.log.Warn("Buildkite can't be reached yet", "err", err)
		default:
			q.standing.cannotReach(nil)
			q.stop(err)
			if !q.untilRetry(ctx) {
				return false
			}
		}
	}
}

func (q *queue) register(ctx context.Context) error {
	id, err := q.client.Identity(ctx)
	if err != nil {
		return err
	}
	stack, err := q.client.Register(ctx, map[string]string{"version": q.s.version})
	if err != nil {
		return err
	}
	q.home.Store(&home{cluster: id.ClusterUUID, key: stack.QueueKey})
	q.change(func(set *settings) {
		tpl := *set.template
		tpl.Org, tpl.QueueKey = id.OrganizationSlug, stack.QueueKey
		set.template = &tpl
	})
	return nil
}

// change derives new settings from the present ones, and repeats that if another change
// came first.
func (q *queue) change(to func(*settings)) {
	for {
		old := q.set.Load()
		set := *old
		to(&set)
		if q.set.CompareAndSwap(old, &set) {
			return
		}
	}
}

// pause waits for a time or a wake-up; false means that ctx ended.
func pause(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-wake:
	}
	return true
}

// onKjob is called by the informer.
func (q *queue) onKjob(old, k *cache.Job, deleted bool) {
	if k.ID == "" {
		return
	}
	before := old != nil && old.Finished
	makesRoom := q.claims.sees(k, k.Finished && !before, deleted)
	q.work.Add(k.ID)
	if makesRoom {
		signal(q.wakeup)
	}
}

// onPod is called by the informer, for deleted pods too.
func (q *queue) onPod(p *cache.Pod, deleted bool) {
	if p.ID == "" {
		return
	}
	if deleted {
		q.claims.podGone(p)
		signal(q.wakeup)
	}
	q.work.Add(p.ID)
}
