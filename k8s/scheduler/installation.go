package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// identifyTimeout bounds one question for the installation's UID, and identifyAgain is
// between two of them.
const (
	identifyTimeout = 10 * time.Second
	identifyAgain   = 2 * time.Second
)

// identify learns what tells this installation from others, before any of its stacks is
// named. With another's key it would reserve another's jobs: it asks until it knows.
// False means that ctx ended.
func (s *Scheduler) identify(ctx context.Context) bool {
	if s.askUID == nil {
		return true
	}
	for {
		cctx, cancel := context.WithTimeout(ctx, identifyTimeout)
		uid, err := s.askUID(cctx)
		cancel()
		if err == nil {
			s.uid = uid
			return true
		}
		s.log.Warn("what tells this installation from others is not known yet", "err", err, "retry_in", identifyAgain.String())
		if !jitter.Sleep(ctx, jitter.Around(identifyAgain, 0.1)) {
			return false
		}
	}
}

// tellOldStack is for a queue that has kjobs of a release in which all installations'
// stacks had one key. Its own jobs need nothing: what the old key has reserved lapses in
// a minute, and is then reserved with this one. The old stack may be in use elsewhere,
// which nothing that can be asked tells: a person knows. A stack that the file names has
// not been renamed.
func (q *queue) tellOldStack() {
	set := q.set.Load()
	old, now := config.DefaultKey(q.name), set.Stack
	made := func(k *cache.Job) bool { return k.Unmarked }
	if old == now || set.StackGiven || !slices.ContainsFunc(q.store.KjobsIn(q.label), made) {
		return
	}
	do := fmt.Sprintf("run `onejob deregister --queue %s --stack %s`", q.name, old)
	text := fmt.Sprintf("queue %s: its stack at Buildkite is now %s. A release before used %s, which is left registered, because another installation may use it: if none does, %s", q.name, now, old, do)
	q.log.Warn("the queue's stack has another key than in the release before", "stack", now, "before", old,
		"hint", "if no other installation uses the old one, "+do)
	q.s.events.Event(q.store.Namespace, "onejob-queue-"+q.label, "", false, "StackRenamed", text, decide.Decision{})
}

// otherAgain is how long a job is left to another installation that has its kjob. It is
// longer than its reservation here, so that the other can have that again.
const otherAgain = reserveFor + 10*time.Second

// leaveToOther gives up a claim to a job of which another installation has a kjob of the
// attempt: two of them serve one queue in one namespace. The kjob's name keeps the job
// from being run twice, and the job is tried again, for the other may be no more.
func (q *queue) leaveToOther(id contract.JobID, c claim, name, by string) {
	q.claims.postpone(id, c, time.Now().Add(otherAgain))
	q.tellWaiting(id, decide.NotCreated(fmt.Sprintf("the Kubernetes Job %s in namespace %s is there, and another installation of onejob (%s) looks after it", name, q.store.Namespace, by)))
	q.log.Info("claim dropped", "job_id", id, "kubernetes_job", name, "reason", "another installation has its Kubernetes Job", "installation", by)
}
