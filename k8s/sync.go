package k8s

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// worker decides on jobs and carries the decisions out. After the end of
// serving it leaves what waits: the next leader decides from the same facts.
func (q *queue) worker(serving, ctx context.Context) {
	for {
		id, shutdown := q.work.Get()
		if shutdown {
			return
		}
		if serving.Err() != nil {
			q.work.Done(id)
			continue
		}
		if err := q.sync(ctx, id); err != nil && ctx.Err() == nil {
			q.log.Debug("carrying out a decision", "job_id", id, "err", err)
			q.work.AddRateLimited(id)
		} else {
			q.work.Forget(id)
		}
		q.work.Done(id)
	}
}

func (q *queue) sync(ctx context.Context, id contract.JobID) error {
	q.mu.Lock()
	m := q.memo(id)
	verdict, claimed := m.verdict, q.claims[id] != nil
	q.mu.Unlock()
	if claimed {
		return nil // its kjob isn't there yet
	}
	if verdict != nil {
		return q.finish(ctx, id, *verdict, nil)
	}
	if err := q.clear(ctx, id); err != nil {
		return err
	}
	d, f := q.decide(id)
	if q.wantsWarnings(id, f) {
		q.fetchWarnings(ctx, id, f)
		d, f = q.decide(id)
	}
	q.measure(id, f)
	return q.act(ctx, id, d, f)
}

// decide gathers the facts about a job and decides.
func (q *queue) decide(id contract.JobID) (Decision, Facts) {
	f := q.facts(id)
	return Decide(f), f
}

func (q *queue) facts(id contract.JobID) Facts {
	ks, pods := q.store.kjobsOf(id), q.store.podsOf(id)
	now := time.Now()
	q.mu.Lock()
	defer q.mu.Unlock()
	m := q.memo(id)
	f := Facts{Now: now, State: m.state, StateAt: m.stateAt, Policy: q.set.Load().policy()}
	if len(ks) > 0 {
		last := ks[len(ks)-1]
		f.Attempt, f.KJob = last.attempt, last.KJob
		f.PodSeen = last.podSeen
	}
	if g := m.gone; g != nil {
		if g.attempt >= f.Attempt && !f.KJob.Exists {
			f.Attempt, f.KJob = g.attempt, g.KJob
			// What was finished when it went is decided on as if it were there.
			f.KJob.Exists, f.KJob.Gone, f.KJob.Terminating = g.Finished, !g.Finished, false
		} else {
			m.gone = nil
		}
	}
	for _, p := range pods {
		if p.kjobUID == f.KJob.UID {
			f.Pod, f.PodSeen = p.Pod, true
		}
		if p.kjobUID != f.KJob.UID || f.KJob.Gone {
			f.OtherPodLives = f.OtherPodLives || p.Lives() && p.Node != ""
		}
	}
	if m.warnedOf == f.KJob.UID {
		f.Warnings = m.warnings
	}
	if f.Pod.Phase == "" && m.podOf == f.KJob.UID && m.pod.Phase != "" {
		f.Pod, f.PodSeen = m.pod, true
	}
	ended := f.KJob.Gone || f.KJob.Finished || f.Pod.Over() || f.Pod.Deleted
	if (ended || f.State.Over()) && f.Attempt > 0 && m.ended != f.KJob.UID {
		m.ended, m.endedAt = f.KJob.UID, now
	}
	if m.ended == f.KJob.UID {
		f.EndedAt = m.endedAt
	}
	if ended && f.Pod.Lost() || f.Pod.Deleted {
		m.lost = f.KJob.UID
	}
	if kind := f.failureKind(); kind != m.failKind {
		m.failKind, m.failAt = kind, now
	}
	f.FailingSince = m.failAt
	return f
}

// act carries a decision out.
func (q *queue) act(ctx context.Context, id contract.JobID, d Decision, f Facts) error {
	if !d.Again.IsZero() {
		q.work.AddAfter(id, time.Until(d.Again)+time.Millisecond)
	}
	switch d.Action {
	case Ask:
		q.mu.Lock()
		q.memo(id).ask = true
		q.mu.Unlock()
		signal(q.look)
		return nil
	case Attempt:
		return q.retry(ctx, id, d, f)
	case Finish:
		return q.finish(ctx, id, d, &f)
	case Delete:
		return q.remove(ctx, id, d)
	default:
		q.count(id, d, f)
		if d.Waiting {
			q.tellWaiting(id, d.Reason, d.Text)
		} else {
			q.tell(id, d.Text)
		}
		return nil
	}
}

// unsure reports whether the caches may show what was true before an outage of
// the API server: what can't be taken back isn't done on that, but looked at
// again later.
func (q *queue) unsure(id contract.JobID) bool {
	if !q.store.link.stale() {
		return false
	}
	q.work.AddAfter(id, settle/2+jitter(settle/2))
	return true
}

// retry hands a new attempt to the poll loop, which has the slots.
func (q *queue) retry(ctx context.Context, id contract.JobID, d Decision, f Facts) error {
	if d.Reason == ReasonRefused {
		// The pod's token was refused. Is ours?
		cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if _, err := q.client.Identity(cctx); err != nil {
			if q.refusal(err) {
				q.work.AddAfter(id, refusedEvery)
				return nil
			}
			return err
		}
	}
	q.mu.Lock()
	if q.claims[id] != nil {
		q.mu.Unlock()
		return nil
	}
	job := stacks.Job{ID: id}
	if ks := q.store.kjobsOf(id); len(ks) > 0 {
		job = ks[len(ks)-1].job
	} else if m := q.memos[id]; m != nil && m.gone != nil {
		job = m.gone.job
	}
	q.retries[id] = retry{job: job, attempt: f.Attempt + 1, due: d.NotBefore}
	q.mu.Unlock()
	q.announce(id, d, f)
	if wait := time.Until(d.NotBefore); wait > 0 {
		q.work.AddAfter(id, wait)
		return nil
	}
	signal(q.wakeup)
	return nil
}

// announce says, once, that a new attempt will be made and why.
func (q *queue) announce(id contract.JobID, d Decision, f Facts) {
	q.mu.Lock()
	m := q.memo(id)
	news := m.announced != f.KJob.UID
	m.announced = f.KJob.UID
	q.mu.Unlock()
	if !news {
		return
	}
	q.count(id, d, f)
	q.log.Info("a new attempt will be made", "job_id", id, "attempt", f.Attempt+1, "reason", d.Reason, "retry_in", max(0, time.Until(d.NotBefore)).Round(time.Millisecond).String())
	q.tell(id, d.Text)
	q.event(id, false, "NewAttempt", d.Text)
}

// finish ends the job at Buildkite. Should we die after it, the state will say
// so; should its reply be lost, the second try is refused and the state asked.
func (q *queue) finish(ctx context.Context, id contract.JobID, d Decision, f *Facts) error {
	if q.unsure(id) {
		return nil
	}
	q.mu.Lock()
	m := q.memo(id)
	refused := m.finishRefused != nil && *m.finishRefused == m.state
	q.mu.Unlock()
	if refused {
		q.tell(id, d.Text)
		return nil
	}
	cctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := q.client.Finish(cctx, id, d.ExitStatus, d.Text)
	switch {
	case err == nil:
		q.log.Info("job finished for it", "job_id", id, "reason", d.Reason, "detail", stacks.Cut(d.Text, 300))
		q.s.metrics.decisions.WithLabelValues(q.name, string(Finish), string(d.Reason)).Inc()
		q.event(id, true, "JobFinished", d.Text)
		q.know(id, stacks.StateFinished, time.Now())
		if f != nil {
			q.work.Add(id)
		}
	case errors.Is(err, stacks.ErrInvalid), errors.Is(err, stacks.ErrNotFound):
		// Not ours to finish, over, or unknown. The state says which, and
		// whatever it says makes the next decision.
		q.mu.Lock()
		state := m.state
		m.ask, m.finishRefused = true, &state
		q.mu.Unlock()
		q.tell(id, d.Text)
		signal(q.look)
	case q.refusal(err):
		return err
	default:
		return err
	}
	q.mu.Lock()
	m.verdict = nil
	delete(q.retries, id)
	q.mu.Unlock()
	return nil
}

// clear deletes kjobs of earlier attempts that are suspended: no decision looks
// at them any more, they never finish by themselves, and a resume would give
// them a second pod.
func (q *queue) clear(ctx context.Context, id contract.JobID) error {
	ks := q.store.kjobsOf(id)
	for _, k := range ks[:max(0, len(ks)-1)] {
		if !k.Suspended || k.Finished || k.Terminating {
			continue
		}
		if err := q.removeKjob(ctx, id, k, Decision{Reason: ReasonSuspended}); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the job's last kjob.
func (q *queue) remove(ctx context.Context, id contract.JobID, d Decision) error {
	ks := q.store.kjobsOf(id)
	if len(ks) == 0 {
		return nil
	}
	return q.removeKjob(ctx, id, ks[len(ks)-1], d)
}

// removeKjob deletes a kjob, and no other that came to its name.
func (q *queue) removeKjob(ctx context.Context, id contract.JobID, k *seenKjob, d Decision) error {
	if q.unsure(id) {
		return nil
	}
	uid, background := k.UID, metav1.DeletePropagationBackground
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	if d.Reason == ReasonTaken {
		if placed, err := q.placed(cctx, k); err != nil {
			return err
		} else if placed {
			q.work.AddAfter(id, stateFresh)
			return nil
		}
	}
	only := &metav1.Preconditions{UID: &uid}
	if d.Reason == ReasonSuspended {
		// Its pod's news may be ahead of its own: that it was resumed (Kueue).
		version := k.ResourceVersion
		only.ResourceVersion = &version
	}
	err := q.s.kube.BatchV1().Jobs(k.Namespace).Delete(cctx, k.Name, metav1.DeleteOptions{Preconditions: only, PropagationPolicy: &background})
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil // gone, another one, or changed by now: the cache will say
	case err != nil:
		q.s.metrics.apiErrors.WithLabelValues(q.name, "delete", string(apierrors.ReasonForError(err))).Inc()
		return err
	}
	q.log.Info("kjob deleted", "job_id", id, "kjob", k.Name, "reason", d.Reason)
	q.s.metrics.decisions.WithLabelValues(q.name, string(Delete), string(d.Reason)).Inc()
	q.event(id, false, "Deleted", "deleted by onejob: "+string(d.Reason))
	if d.Text != "" {
		q.tell(id, d.Text)
	}
	return nil
}

// placed asks the API server itself whether a kjob's pod has a node: the cache
// may be late, and the agent that has the job may be that pod's own. Buildkite's
// state is older than the answer, so that a pod without a node is not the one.
func (q *queue) placed(ctx context.Context, k *seenKjob) (bool, error) {
	pods, err := q.s.kube.CoreV1().Pods(k.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + k.id.String()})
	if err != nil {
		return false, fmt.Errorf("looking for the pod of %s: %w", k.Name, err)
	}
	for _, p := range pods.Items {
		if kjobUID(&p) == k.UID && p.Spec.NodeName != "" {
			return true, nil
		}
	}
	return false, nil
}

// event records an Event on the job's last kjob, by its name if there is none:
// it may be gone, or never have been let in.
func (q *queue) event(id contract.JobID, warning bool, reason, text string) {
	if ks := q.store.kjobsOf(id); len(ks) > 0 {
		k := ks[len(ks)-1]
		q.s.events.event(k.Namespace, k.Name, k.UID, warning, reason, text)
		return
	}
	q.mu.Lock()
	attempt := max(q.memo(id).attempts, 1)
	q.mu.Unlock()
	q.s.events.event(q.store.namespace, contract.KjobName(id, attempt), "", warning, reason, text)
}

// count puts what is done about the end of an attempt into the metrics, once. As
// long as the kjob isn't over, that nothing is done means nothing.
func (q *queue) count(id contract.JobID, d Decision, f Facts) {
	if d.Reason == "" || f.EndedAt.IsZero() || d.Action == None && !f.KJob.Finished && !f.KJob.Gone {
		return
	}
	q.mu.Lock()
	m := q.memo(id)
	first := m.counted != f.KJob.UID
	news := first || m.countedAs != d.Action // refused, and offered again later
	m.counted, m.countedAs = f.KJob.UID, d.Action
	if first {
		switch {
		case d.Reason == ReasonRefused:
			q.refusals++
		case f.Pod.Message != nil:
			q.refusals = 0
		}
	}
	q.mu.Unlock()
	if news {
		q.s.metrics.decisions.WithLabelValues(q.name, string(d.Action), string(d.Reason)).Inc()
	}
}

// wantsWarnings: a pod, or its absence, that only Events can explain.
func (q *queue) wantsWarnings(id contract.JobID, f Facts) bool {
	switch {
	case f.unexplained():
	case !f.KJob.Exists || f.KJob.Finished || f.KJob.Suspended || f.Pod.Started || f.Pod.Unschedulable != "" || f.Pod.Waiting != "",
		f.Pod.Phase != "" && f.Pod.Phase != corev1.PodPending, f.Now.Sub(f.KJob.CreatedAt) < noticeAfter:
		return false
	}
	q.mu.Lock()
	at := q.memo(id).warnedAt
	q.mu.Unlock()
	old := time.Since(at) > warningsEvery
	if f.unexplained() {
		old = at.Before(f.EndedAt)
	}
	if old && !q.lists.Allow() {
		q.work.AddAfter(id, noticeAfter+jitter(noticeAfter))
		return false
	}
	return old
}

// A thousand pods that pend for one reason must not be a thousand lists of
// Events: a queue makes a few a second, and its jobs take turns.
const (
	warningsEvery     = 20 * time.Second
	warningsPerSecond = 4
	warningsWithin    = 3 * time.Second
)

// fetchWarnings reads the Events that may explain an attempt. A Role that leaves
// Events out, or a store of Events that is down, costs words, and no job its
// deadline.
func (q *queue) fetchWarnings(ctx context.Context, id contract.JobID, f Facts) {
	kind, name := "Pod", f.Pod.Name
	if f.Pod.Phase == "" {
		kind, name = "Job", contract.KjobName(id, f.Attempt)
	}
	cctx, cancel := context.WithTimeout(ctx, warningsWithin)
	defer cancel()
	ws, err := warningsOn(cctx, q.s.kube, q.store.namespace, kind, name)
	if err != nil {
		q.s.metrics.apiErrors.WithLabelValues(q.name, "list", string(apierrors.ReasonForError(err))).Inc()
		q.log.Debug("events not read", "job_id", id, "err", err)
	}
	q.mu.Lock()
	m := q.memo(id)
	if err != nil && m.warnedOf == f.KJob.UID {
		ws = m.warnings
	}
	m.warnings, m.warnedOf, m.warnedAt = ws, f.KJob.UID, time.Now()
	q.mu.Unlock()
	if f.EndedAt.IsZero() {
		q.work.AddAfter(id, warningsEvery+time.Second)
	}
}
