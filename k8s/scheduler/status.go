package scheduler

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/status"
	"github.com/onejob-dev/onejob/stacks"
)

// mostWaiting bounds the waiting jobs that a queue shows: a list may have twenty
// thousand, and the first are those that come next.
const mostWaiting = 1000

// status is what the page shows: from the caches and from what the loops know, without
// a request.
func (s *Scheduler) status() status.Cluster {
	c := status.Cluster{
		At: time.Now(), Version: s.version, NotReady: []string{}, Queues: []status.Queue{}, Losses: s.losses.all(),
		Leads: s.leading.Load(),
	}
	for _, line := range s.unready() {
		c.NotReady = append(c.NotReady, contract.Sentence(line))
	}
	slices.Sort(c.NotReady)
	if s.lease != nil {
		c.Replica = s.lease.Identity
		if leader := s.leader.Load(); leader != nil {
			c.Leader = contract.Word(*leader)
		}
	}
	if !s.synced.Load() {
		return c
	}
	configured, served := s.queuesByName()
	for _, one := range configured {
		q := served[one.Name]
		if q == nil {
			c.Queues = append(c.Queues, s.unserved(one, c.Leads))
			continue
		}
		c.Since = q.since
		l := q.line.Load()
		state := q.status(c.At, l)
		c.Queues, c.Jobs = append(c.Queues, state), q.jobs(c.Jobs, state, l)
	}
	inOrder(c.Jobs)
	return c
}

// inOrder sorts jobs as they are shown: by phase; what waits for a slot in its order, what
// is over the latest first, and the rest the oldest first.
func inOrder(jobs []*status.Job) {
	rank := map[string]int{}
	for i, phase := range status.Phases {
		rank[phase] = i
	}
	over := map[string]bool{"done": true, "ended": true, "failed": true, "lost": true}
	slices.SortStableFunc(jobs, func(a, b *status.Job) int {
		switch by := rank[a.Phase] - rank[b.Phase]; {
		case by != 0, a.Phase == phaseWaiting:
			return by
		case over[a.Phase]:
			return b.Since.Compare(a.Since)
		}
		return a.Since.Compare(b.Since)
	})
}

// unserved is a queue that this process doesn't serve.
func (s *Scheduler) unserved(c config.Queue, leads bool) status.Queue {
	q := status.Queue{Name: c.Name, Namespace: c.Namespace, State: status.Standby, Pending: []status.Pending{}}
	if !leads {
		return q
	}
	q.State = status.Starting
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.faults["queue "+c.Name]; err != nil {
		q.State, q.Why = status.Stopped, contract.Sentence(err.Error())
	}
	return q
}

// status is a queue with what its last look at the list left, nil before the first one.
func (q *queue) status(now time.Time, l *line) status.Queue {
	set, p := q.set.Load(), q.standing.now()
	s := status.Queue{
		Name: q.name, Namespace: q.store.Namespace, State: status.Ready, Max: *set.MaxInFlight, Held: q.claims.held(), Pending: []status.Pending{},
	}
	switch {
	case p.stopped != nil:
		s.State = status.Stopped
	case p.unreached != nil, l == nil:
		s.State = status.Starting
	case p.paused:
		s.State, s.Why = status.Paused, "its dispatch is paused at Buildkite"
	}
	_, mirrors := q.mirrors.now(set.GitMirrors.Snapshot)
	if why := cmp.Or(p.stopped, p.unreached, mirrors); why != nil && s.Why == "" {
		s.Why = contract.Sentence(why.Error())
	}
	if l != nil {
		s.Waiting, s.Listed, s.Unmatched, s.Retries, s.LookedAt = len(l.jobs), l.listed, l.strangers, l.retries, l.at
		if !l.oldest.IsZero() {
			s.OldestSeconds = max(0, now.Sub(l.oldest).Seconds())
		}
	}
	if p.stopped == nil {
		s.WarmWanted = warmWanted(set.Queue, q.claims.liveKjobs())
	}
	s.WarmRunning = q.warmRunning()
	pending := q.claims.pending(now)
	for _, at := range pendingPlaces {
		if n := pending[at]; n != nil {
			s.Pending = append(s.Pending, status.Pending{Phase: at.phase, Reason: string(at.reason), Jobs: n.n, OldestSeconds: n.oldest.Seconds()})
		}
	}
	return s
}

const phaseWaiting = "waiting"

// jobs adds a queue's jobs: those that wait, those that are reserved, and the Kubernetes
// Jobs of attempts.
func (q *queue) jobs(to []*status.Job, state status.Queue, l *line) []*status.Job {
	org := q.set.Load().template.Org
	row := func(j stacks.Job, attempt int, phase, reason string, since time.Time) *status.Job {
		return &status.Job{
			ID: j.ID, Queue: q.name, Attempt: attempt, Pipeline: contract.Word(j.Pipeline), Build: j.Build, Branch: contract.Word(j.Branch), Step: contract.Word(j.Step),
			Phase: phase, Reason: reason, Since: since, URL: kjob.JobURL(org, j),
		}
	}
	if l != nil {
		for i, c := range l.first(mostWaiting) {
			to = append(to, row(c.job, 0, phaseWaiting, whyWaits(state, i), c.since))
		}
	}
	to = append(to, q.claims.rows(row)...)
	pods := map[types.UID]*cache.Pod{}
	for _, p := range q.store.PodsIn(q.label) {
		pods[p.KjobUID] = p
	}
	kjobs := q.store.KjobsIn(q.label)
	last := lastOf(kjobs)
	for _, k := range kjobs {
		if k.ID == "" {
			continue
		}
		var p decide.Pod
		if pod := pods[k.UID]; pod != nil {
			p = pod.Pod
		}
		phase, reason := decide.PhaseTold(k.KJob, p, k.Attempt, last[k.ID].Attempt, q.told(last[k.ID]))
		j := row(k.Job, k.Attempt, phase, reason, sinceOf(k, p))
		if j.Node = p.Node; phase == "pending" && reason == "" {
			j.Reason = string(decide.PendingReason(k.KJob, p))
		}
		to = append(to, j)
	}
	return to
}

// lastOf are the kjobs of last attempts, by job.
func lastOf(kjobs []*cache.Job) map[contract.JobID]*cache.Job {
	last := map[contract.JobID]*cache.Job{}
	for _, k := range kjobs {
		if o := last[k.ID]; o == nil || o.Attempt < k.Attempt {
			last[k.ID] = k
		}
	}
	return last
}

// told is what became of a job's attempts, as far as is told.
func (q *queue) told(last *cache.Job) decide.History {
	if last.Finished {
		return append(slices.Clip(last.Story), q.pages.told(last.ID, last.UID, last.Attempt)...)
	}
	return last.Story
}

// whyWaits is why a job isn't reserved, if that is known: so many are before it in the line.
func whyWaits(q status.Queue, ahead int) string {
	switch {
	case q.State == status.Paused:
		return "the queue is paused"
	case q.Max > 0 && q.Held >= q.Max:
		return decide.Ahead(ahead, q.Held, q.Max)
	}
	return ""
}

// rows are the claims whose kjob isn't in the cache yet.
func (cs *claims) rows(row func(j stacks.Job, attempt int, phase, reason string, since time.Time) *status.Job) (out []*status.Job) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for id, c := range cs.open {
		if cs.store.Kjob(contract.KjobName(id, c.attempt)) == nil {
			out = append(out, row(c.job, c.attempt, phaseReserved, "", c.at))
		}
	}
	return out
}

// sinceOf is since when an attempt is in its phase: when it ended, else since its
// container runs, else since its kjob was made.
func sinceOf(k *cache.Job, p decide.Pod) time.Time {
	for _, at := range []time.Time{p.EndedAt, k.FinishedAt, p.StartedAt} {
		if !at.IsZero() {
			return at
		}
	}
	return k.CreatedAt
}
