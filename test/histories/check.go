package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
)

// broke records that an invariant didn't hold.
func (h *history) broke(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.brokeLocked(format, args...)
}

func (h *history) brokeLocked(format string, args ...any) {
	h.broken = append(h.broken, fmt.Sprintf(format, args...))
	h.noteLocked("VIOLATION: "+format, args...)
}

// sees is called before an informer is given an object.
func (s *instance) sees(o runtime.Object) {
	k, ok := o.(*batchv1.Job)
	if !ok {
		return
	}
	s.h.cluster.mu.Lock()
	defer s.h.cluster.mu.Unlock()
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	id := kjob.IDOf(k.Labels)
	s.seen[id] = true
	if !s.s.Synced() && !kjob.Finished(k) {
		s.mine[k.Name] = string(k.UID)
	}
	switch m := s.marked[id]; {
	case m != nil && m.UID != k.UID && kjob.AttemptOf(k) >= kjob.AttemptOf(m):
		delete(s.marked, id) // who made it didn't know of the mark
	case k.Annotations[contract.AnnotationCancel] != "" && kjob.AttemptOf(k) >= s.sent[id] && !kjob.Finished(k) && !s.h.lost(k):
		s.marked[id] = k
	}
}

// checkCreate looks at a create when it is sent.
func (s *instance) checkCreate(k *batchv1.Job) {
	h := s.h
	h.mu.Lock()
	defer h.mu.Unlock()
	id, attempt := kjob.IDOf(k.Labels), kjob.AttemptOf(k)
	if _, known := h.jobNumber[id]; !known || k.Name != contract.KjobName(id, attempt) || k.Labels[contract.LabelQueue] != "default" ||
		k.Labels[contract.LabelAttempt] != strconv.Itoa(attempt) || k.Spec.Template.Labels[contract.LabelJobID] != id.String() {
		h.brokeLocked("names: %s has the labels %v", k.Name, k.Labels)
	}
	if m := s.marked[id]; m != nil && !s.dead {
		h.brokeLocked("marked: %s creates %s after it was shown that %s (%s) is marked as cancelled", s, k.Name, m.Name, m.UID)
	}
	s.sent[id] = max(s.sent[id], attempt)
	if !s.dead && !s.paused.IsZero() && time.Since(s.paused) > time.Second {
		h.brokeLocked("paused: %s creates %s %s after it knew that the queue is paused", s, k.Name, time.Since(s.paused))
	}
}

// created looks at a create that takes effect. The cluster is locked.
func (h *history) created(s *instance, k *batchv1.Job, inTime bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	id, attempt := kjob.IDOf(k.Labels), kjob.AttemptOf(k)
	h.noteLocked("%s: create %s takes effect", s, k.Name)
	for _, other := range h.cluster.kjobs {
		// The name is the lock, and an attempt whose kjob was taken away leaves
		// none: two processes, of which one remembers it and the other doesn't,
		// may then make two. Buildkite gives the job to one of them.
		if of := h.podsByUID[string(other.UID)]; of != nil && of.by != s && kjob.AttemptOf(other) != attempt && h.takenAway[id] {
			continue
		}
		if kjob.IDOf(other.Labels) == id && !kjob.Finished(other) && !h.lost(other) && !h.left(other) {
			h.brokeLocked("two kjobs: %s beside %s (%s), which is unfinished and neither lost nor left by its runner", k.Name, other.Name, other.UID)
		}
	}
	if attempt > 1 && !h.made[contract.KjobName(id, attempt-1)] {
		h.brokeLocked("attempts: %s, and there never was an attempt %d", k.Name, attempt-1)
	}
	h.made[k.Name] = true
	h.attempts[id] = max(h.attempts[id], attempt)
	if attempt > h.plan.maxAttempts {
		h.brokeLocked("attempts: %s is beyond the %d that are allowed", k.Name, h.plan.maxAttempts)
	}
	s.seen[id] = true
	if !inTime {
		return
	}
	s.mine[k.Name] = fmt.Sprint("uid-", h.cluster.uids+1)
	live := 0
	for name, uid := range s.mine {
		o := h.cluster.kjobs[name]
		if name == k.Name || o != nil && string(o.UID) == uid && !kjob.Finished(o) && !h.lost(o) && !h.left(o) {
			live++
		} else {
			delete(s.mine, name)
		}
	}
	if most := h.plan.maxInFlight; most > 0 && live > most {
		h.brokeLocked("max-in-flight: %s has made or found %d kjobs that are unfinished, and may have %d", s, live, most)
	}
}

// lost reports a pod that ended and left no message of its runner, or is gone.
// Callers hold h.mu and the cluster's.
func (h *history) lost(k *batchv1.Job) bool {
	p := h.podsByUID[string(k.UID)]
	if p == nil || !p.made {
		return false
	}
	o := h.cluster.pods[p.name]
	if o == nil {
		return true
	}
	return decide.OfPod(o).Lost()
}

// left: its agent container has ended; what others put beside that is not the
// job. Callers hold h.mu.
func (h *history) left(k *batchv1.Job) bool {
	p := h.podsByUID[string(k.UID)]
	return p != nil && p.left && p.helper != noHelper
}

// checkDelete looks at a delete when it is sent.
func (s *instance) checkDelete(name, uid string) {
	h := s.h
	k := h.cluster.kjob(name)
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.dead || k == nil || uid != "" && uid != string(k.UID) || k.Annotations[contract.AnnotationCancel] != "" {
		return
	}
	p := h.podsByUID[string(k.UID)]
	if p == nil || !p.holds || p.suspended || p.killed {
		return
	}
	if j, _ := h.sim.Job(p.id.String()); j.State == simulator.StateAccepted || j.State == simulator.StateRunning {
		h.brokeLocked("delete: %s deletes %s (%s) while its pod runs the job", s, name, k.UID)
	}
}

// deleteKjob takes effect, whoever wants it.
func (h *history) deleteKjob(name, uid, who string, foreground bool) error {
	k := h.cluster.kjob(name)
	if err := h.cluster.removeKjob(name, uid, foreground); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked("%s (%s) deleted by %s", name, k.UID, who)
	h.takenAway[kjob.IDOf(k.Labels)] = true
	if p := h.podsByUID[string(k.UID)]; p != nil {
		p.foreground = p.foreground || foreground
		p.stop()
	}
	return nil
}

// checkCall looks at a request to Buildkite when it is sent.
func (s *instance) checkCall(call, id string, body []byte) {
	if call != "finish" {
		return
	}
	h := s.h
	j, _ := h.sim.Job(id)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked("%s: finish %s: %s", s, h.name(contract.JobID(id)), body)
	if s.dead {
		return
	}
	if j.State.Held() && time.Since(j.AcquiredAt) > h.believed() && (!h.plan.finishLost || j.State == simulator.StateAccepted) {
		h.brokeLocked("finish: %s finishes %s, which is %s: an agent had it", s, h.name(contract.JobID(id)), j.State)
	}
	for _, p := range h.podsByUID {
		// A state is believed for a few seconds; Buildkite refuses what has
		// changed meanwhile.
		if p.id.String() == id && p.holds && time.Since(p.heldSince) > h.believed() {
			h.brokeLocked("finish: %s finishes %s, which runs in the pod of %s", s, h.name(p.id), p.kjob)
		}
	}
}

// believed is how old a state may be that a finish rests on; it may have been late.
func (h *history) believed() time.Duration {
	d := decide.StateFresh + 2*time.Second
	if h.plan.profile.JobStates == assumptions.JobStatesLate {
		d += statesLag
	}
	return d
}

// shortest is for how many seconds a job may be reserved that has no kjob.
func (h *history) shortest() int {
	if h.plan.profile.ShortReservation == assumptions.ShortReservationRefused {
		return 60
	}
	return 20
}

// arrives looks at a request to Buildkite that takes effect.
func (h *history) arrives(s *instance, call, id string, body []byte) {
	switch call {
	case "reserve":
		var req struct {
			IDs    []contract.JobID `json:"job_uuids"`
			Expiry int              `json:"reservation_expiry_seconds"`
		}
		_ = json.Unmarshal(body, &req)
		for _, id := range req.IDs {
			j, _ := h.sim.Job(id.String())
			h.mu.Lock()
			h.noteLocked("%s: reserve %s for %ds (%s)", s, h.name(id), req.Expiry, j.State)
			if bound := h.shortest(); req.Expiry > bound && !s.seen[id] {
				h.brokeLocked("reservation: %s holds %s for %ds, and there is no kjob of it; want at most %ds", s, h.name(id), req.Expiry, bound)
			}
			if !s.dead && !s.paused.IsZero() && time.Since(s.paused) > 5*time.Second && j.State == simulator.StateScheduled && !s.seen[id] {
				h.brokeLocked("paused: %s reserves %s after it knew that the queue is paused", s, h.name(id))
			}
			h.mu.Unlock()
		}
	case "finish":
		j, _ := h.sim.Job(id)
		h.mu.Lock()
		defer h.mu.Unlock()
		jid := contract.JobID(id)
		if (j.State == simulator.StateScheduled || j.State == simulator.StateReserved) && len(h.excuses[jid]) == 0 && h.attempts[jid] < h.plan.maxAttempts {
			h.brokeLocked("finish: %s finishes %s, which nothing keeps from running: %s", s, h.name(jid), body)
		}
	}
}

func (s *instance) knowsPaused(paused bool) {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	switch {
	case !paused:
		s.paused = time.Time{}
	case s.paused.IsZero():
		s.paused = time.Now()
		s.h.noteLocked("%s learns that the queue is paused", s)
	}
}

// leftOver is what is not yet as it should be at the end, empty when all is.
func (h *history) leftOver() (left []string) {
	jobs := h.sim.Jobs()
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	say := func(format string, args ...any) { left = append(left, fmt.Sprintf(format, args...)) }
	if h.onTheWay > 0 || len(jobs) < len(h.plan.jobs) {
		say("%d of %d jobs have come, %d requests are on their way", len(jobs), len(h.plan.jobs), h.onTheWay)
	}
	for _, j := range jobs {
		if !j.State.Terminal() {
			say("%s is %s (reserved until %s)", h.name(contract.JobID(j.ID)), j.State, j.ReservedUntil.Sub(h.began))
		}
	}
	for _, k := range h.cluster.kjobs {
		if !kjob.Finished(k) {
			say("%s (%s) is unfinished", k.Name, k.UID)
		}
	}
	for _, p := range h.cluster.pods {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			say("the pod %s is %s", p.Name, p.Status.Phase)
		}
	}
	for _, s := range h.instances {
		if s.left {
			continue
		}
		for _, busy := range s.s.UnderWay() {
			say("%s: %s", s, busy)
		}
	}
	return left
}

// books are balanced at the end: each job has ended once, and for a reason.
func (h *history) balance() {
	for _, v := range h.sim.Violations() {
		h.mu.Lock()
		fated := len(h.excuses[contract.JobID(v.JobID)]) > 0
		h.mu.Unlock()
		if v.Kind == simulator.Abandoned && fated {
			continue // that the pod's fate is to leave its job is no deed of a scheduler
		}
		h.broke("ledger: %s", v)
	}
	for _, j := range h.sim.Jobs() {
		id := contract.JobID(j.ID)
		h.mu.Lock()
		switch why := h.excuses[id]; {
		case h.runs[id] > 1:
			h.brokeLocked("twice: %s was started %d times", h.name(id), h.runs[id])
		case j.State == simulator.StateCanceled && h.cancelled[id]:
		case j.StackFinish != nil:
		case h.runs[id] == 1 && (j.ExitStatus == "0" || len(why) > 0), j.ExitStatus != "0" && len(why) > 0:
		default:
			h.brokeLocked("unexplained: %s is %s with exit status %q, started %d times, excuses: %v", h.name(id), j.State, j.ExitStatus, h.runs[id], why)
		}
		h.mu.Unlock()
	}
}
