package decide

import (
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/jitter"
)

// attempt decides on a new kjob: at once for the first few losses (free), then with
// backoff from the end of the last attempt. At the cap, or if the kjob is marked as
// cancelled, it ends the job instead.
func attempt(f Facts, r Reason, free int, text string) Decision {
	if f.suspendedAway(r) {
		r, free = ReasonSuspended, max(free, f.Attempt-1) // from the second on there is a moment's wait
	}
	switch {
	case f.KJob.Cancelled != "":
		return finish(ReasonCancelled, cancelledBy(f))
	case f.OtherPodLives != "":
		return waitForPod(f, r)
	case f.endsSoon():
		return Decision{Action: None, Reason: r} // there is never a second kjob beside it
	case f.Policy.usedUp(f.Attempt, f.free()):
		return gaveUp(f.Attempt, f.Story.and(text))
	}
	at := f.EndedAt.Add(Backoff(f.Attempt - free))
	if m := f.Pod.Message; m != nil && m.NotBefore != nil {
		at = Later(at, f.EndedAt.Add(min(f.asks(*m.NotBefore), notBeforeMax)))
	}
	if f.Pod.Lingers() {
		at = Later(at, f.OverAt.Add(HelperGrace)) // most end by themselves, and then the kjob does
	}
	return Decision{Action: Attempt, Reason: r, NotBefore: at, Text: text}
}

// takenBackMost is how many times the cap a job's attempts may be in all, with those that
// don't count for it. A pod that can't start and is evicted for that before its pending
// timeout, time and again, looks like one that had to make room.
const takenBackMost = 10

// usedUp reports whether there is no further attempt after so many, of which some don't
// count for the cap.
func (p Policy) usedUp(made, free int) bool {
	return made-free >= p.MaxAttempts || made >= takenBackMost*p.MaxAttempts
}

// free are the attempts that were taken back before they began, the last one too.
func (f Facts) free() int {
	free := f.Story.free()
	if takenBack(f.Removed) {
		free++
	}
	return free
}

// suspendedAway: the attempt ended, for a reason, because its kjob was suspended when
// its pod was there: its runner, if there was one, was stopped for that. One that had
// failed by itself before has failed.
func (f Facts) suspendedAway(r Reason) bool {
	switch r {
	case ReasonLost, ReasonStopped, ReasonDeleted:
		return f.Removed == ReasonSuspended
	}
	return false
}

// endsSoon: the runner has left, and the Job controller is about to end the kjob. It
// doesn't while another container of the pod runs.
func (f Facts) endsSoon() bool {
	unfinished := !f.KJob.Gone && !f.KJob.Finished
	return unfinished && f.Pod.Message != nil && !f.Pod.Lingers()
}

// asks is how long after its end a runner wants the next attempt to wait. Both times
// are by its node's clock, which may be wrong.
func (f Facts) asks(notBefore time.Time) time.Duration {
	if f.Pod.EndedAt.IsZero() {
		return notBefore.Sub(f.EndedAt)
	}
	return notBefore.Sub(f.Pod.EndedAt)
}

// waitForPod is for a pod of an earlier attempt, which ends within its grace, or is on
// a dead node.
func waitForPod(f Facts, r Reason) Decision {
	d := Decision{Action: None, Reason: r}
	if late := f.EndedAt.Add(f.Policy.Grace + outliveGrace); f.Now.Before(late) {
		d.Again = late
	} else {
		d.Waiting, d.Text = true, fmt.Sprintf("waiting for pod %s of an earlier attempt to end; %s", f.OtherPodLives, deadNode(f.OtherNode))
	}
	return d
}

// Backoff is the wait after the nth failure that isn't free.
func Backoff(n int) time.Duration {
	if n < 1 {
		return 0
	}
	return jitter.Doubled(backoffBase, backoffMax, n-1)
}

// Earlier is the earlier of two times.
func Earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Later is the later of two times.
func Later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
