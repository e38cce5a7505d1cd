package decide

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/stacks"
)

// Timeline is what has been seen of a job, and since when, by our clock: what a
// decision rests on and no look at the cluster shows. Its zero value is a job of
// which nothing is known. It is a cache: who begins anew sees the same again, later.
//
// Attempts are told apart by their kjobs' UIDs: a name, and with it a number,
// comes again when a kjob is gone and nobody remembers it.
type Timeline struct {
	state   stacks.State
	stateAt time.Time // when it was asked for
	toldAt  time.Time // when the answer came
	heldAt  time.Time // when state was learned to be a held one; zero if it never was

	attempts  int          // the highest number of a kjob that is known to have been made
	gone      *AttemptKJob // the last attempt, if its kjob was deleted
	pod       AttemptPod   // the last that was seen of an attempt's pod
	removed   types.UID    // the kjob that was deleted by us
	removedAs Reason

	ended sight     // when an attempt was first seen to have ended
	over  sight     // when its pod was first seen over beside its kjob
	open  types.UID // the kjob after whose end the job was seen not to be over
	lost  types.UID // the kjob whose pod is lost, or lingers

	out   types.UID // the kjob that is kept out
	letIn sight     // when one that was was first seen not to be

	failing     sight // since when a pod fails as it does
	failingKind string

	heard   Heard
	heardOf string // whose Events heard is of: Facts.Subject
}

// sight is when something was first seen of a kjob.
type sight struct {
	of types.UID
	at time.Time
}

// AttemptKJob is the kjob of an attempt as a Timeline sees it.
type AttemptKJob struct {
	Number int
	KJob
	// Story and Faults are of the attempts before it.
	Story  History
	Faults NodeFaults
	// Found is when a process that had just started found it; zero if it was seen to come.
	Found time.Time
}

// AttemptPod is a pod, and the kjob and the attempt that it is of.
type AttemptPod struct {
	Pod
	KJob    types.UID
	Attempt int
}

// Seen is what a look at the cluster shows of a job.
type Seen struct {
	Now time.Time
	// MendedAt is when the API server answered again after an outage; zero if there was none.
	MendedAt time.Time
	// KJob is that of the last attempt of which there is one; if there is none, it
	// doesn't exist. HoldsSlot: it counts as live.
	KJob      AttemptKJob
	HoldsSlot bool
	// Pods are those of all attempts.
	Pods []AttemptPod
	// Stale: this may be what was true before an outage.
	Stale bool
	Policy
}

// State is Buildkite's, as far as is known.
func (t *Timeline) State() stacks.State { return t.state }

// ToldAt is when Buildkite last told the state.
func (t *Timeline) ToldAt() time.Time { return t.toldAt }

// StateAt is when the state was asked for.
func (t *Timeline) StateAt() time.Time { return t.stateAt }

// Attempts is the highest number of a kjob that is known to have been made.
func (t *Timeline) Attempts() int { return t.attempts }

// Made notes that the kjob of an attempt was made.
func (t *Timeline) Made(number int) { t.attempts = max(t.attempts, number) }

// Gone is the number of the last attempt if its kjob was deleted and none that
// came later is known; else zero.
func (t *Timeline) Gone() int {
	if t.gone == nil {
		return 0
	}
	return t.gone.Number
}

// Lost: the pod of that kjob is lost, or lingers, so that it holds no slot.
func (t *Timeline) Lost(kjob types.UID) bool { return t.lost == kjob }

// PodStarted: the last pod that was seen had started.
func (t *Timeline) PodStarted() bool { return t.pod.Started }

// Learn takes in a state that Buildkite told of a question that was sent at a time.
// It reports false, and learns nothing, if what is known was asked for later.
func (t *Timeline) Learn(state stacks.State, sent, told time.Time) bool {
	if t.stateAt.After(sent) {
		return false
	}
	if state.Held() && !t.state.Held() {
		t.heldAt = told
	}
	t.state, t.stateAt, t.toldAt = state, sent, told
	return true
}

// Listed is for a job that Buildkite lists as scheduled. The list lags
// (docs/protocol.md#listing), so that it only tells news of a job of which nothing is
// known that contradicts it: no attempt, and no state but an offered one. Else ask is
// set, unless the state was asked for just now: that is Buildkite's word. So it is for a job
// that was offered before its last attempt ended: it may be offered for another one.
func (t *Timeline) Listed(sent, told time.Time) (news, ask bool) {
	switch {
	case !sent.After(t.stateAt):
		return false, false
	case t.attempts == 0 && (t.state == stacks.StateUnknown || t.state.Offered()):
		return t.Learn(stacks.StateScheduled, sent, told), false
	default:
		known := t.state == stacks.StateScheduled && !t.stateAt.Before(t.ended.at)
		return false, !known && sent.Sub(t.stateAt) >= listedAsks
	}
}

// listedAsks is how old a state has to be for a listing that contradicts it to have it
// asked for again.
const listedAsks = time.Second

// Reserved is for a job that Buildkite has just reserved for us, which tells nothing
// new of one that was offered before.
func (t *Timeline) Reserved(sent, told time.Time) {
	if !t.state.Offered() {
		t.Learn(stacks.StateReserved, sent, told)
	}
}

// KJobGone notes that an attempt's kjob was deleted, and reports whether it was the
// last one's. A finished one may go, by its TTL, before anything was decided; and
// should Buildkite offer the job again, how it ended still counts.
func (t *Timeline) KJobGone(a AttemptKJob) bool {
	if t.Made(a.Number); a.Number < t.attempts {
		return false
	}
	a.Exists = true
	t.gone = &a
	return true
}

// PodGone notes the last state of a pod that was deleted.
func (t *Timeline) PodGone(p AttemptPod) {
	if p.Attempt >= t.pod.Attempt {
		t.pod = p
	}
}

// Removed notes that we deleted a kjob, and why.
func (t *Timeline) Removed(kjob types.UID, why Reason) { t.removed, t.removedAs = kjob, why }

// Last is the attempt that decisions about a job rest on: the last one, also when
// its kjob is gone and that of an attempt before, the one that is there, isn't. Only
// one that is live goes before it; whoever made that didn't know of the other.
func (t *Timeline) Last(there AttemptKJob, live bool) (a AttemptKJob, gone bool) {
	switch g := t.gone; {
	case g == nil, there.Exists && there.Number < g.Number && live:
		return there, false
	case there.Exists && there.Number >= g.Number:
		t.gone = nil
		return there, false
	default:
		return *g, true
	}
}

// See takes in what there is of a job, notes what is seen for the first time, and
// returns the facts.
func (t *Timeline) See(s Seen) Facts {
	f := Facts{Now: s.Now, State: t.state, StateAt: t.stateAt, ToldAt: t.toldAt, HeldAt: t.heldAt, MendedAt: s.MendedAt, Policy: s.Policy}
	a, gone := t.Last(s.KJob, s.HoldsSlot)
	if a.Exists {
		f.Attempt, f.KJob, f.Story, f.Faults, f.MendedAt = a.Number, a.KJob, a.Story, a.Faults, Later(s.MendedAt, a.Found)
		if gone {
			// What was finished when it went is decided on as if it were there.
			f.KJob.Exists, f.KJob.Gone, f.KJob.Terminating = a.Finished, !a.Finished, false
		}
		if t.removed == a.UID {
			f.Removed = t.removedAs
		}
	}
	t.seePods(&f, s)
	if t.heardOf == f.Subject() {
		f.Heard = t.heard
	}
	t.seeKeptOut(&f)
	t.seeEnd(&f, a.Exists && !gone, s.MendedAt)
	if ended := f.ended(); !gone && (ended && f.Pod.Lost() || f.Pod.Deleted || f.Pod.Lingers()) {
		t.lost = f.KJob.UID
	}
	t.seeFailing(&f, s.MendedAt)
	return f
}

func (t *Timeline) seePods(f *Facts, s Seen) {
	for _, p := range s.Pods {
		own := p.KJob == f.KJob.UID
		if own {
			f.Pod, f.KJob.PodSeen = p.Pod, true
			// It is known also in the moment in which it has gone from the
			// cache and nobody has told us.
			t.pod = p
		}
		if (!own || f.KJob.Gone) && p.LivesOnANode() {
			f.OtherPodLives, f.OtherNode = p.Name, p.Node
		}
	}
	if f.Attempt == 0 {
		t.seeOrphan(f, s)
	}
	if f.Pod.Phase == "" && t.pod.KJob == f.KJob.UID && t.pod.Phase != "" {
		f.Pod, f.KJob.PodSeen = t.pod.Pod, true
		f.Pod.Deleted = true
	}
}

// ended: nothing of the attempt can take the job any more.
func (f Facts) ended() bool {
	return f.KJob.Gone || f.KJob.Finished || f.Pod.OverOrGone()
}

// seeEnd notes when the attempt's end was first seen; a job that is over ends it too.
func (t *Timeline) seeEnd(f *Facts, there bool, mended time.Time) {
	uid, podOver := f.KJob.UID, f.Pod.OverOrGone()
	if podOver && there && !f.KJob.Terminating {
		t.over.first(uid, f.Now)
	}
	if t.over.of == uid {
		f.OverAt = Later(t.over.at, mended)
	}
	if (f.ended() || f.State.Over()) && f.Attempt > 0 {
		t.ended.first(uid, f.Now)
	}
	if t.ended.of == uid {
		f.EndedAt = t.ended.at
		if f.Fresh() && !f.State.Over() {
			t.open = uid
		}
		f.Unreported = t.open == uid
	}
}

// seeFailing notes since when the pod fails as it does. That of a pod that is gone
// while its kjob doesn't end counts anew after an outage.
func (t *Timeline) seeFailing(f *Facts, mended time.Time) {
	if kind := f.failureKind(); kind != t.failingKind || t.failing.of != f.KJob.UID {
		t.failing, t.failingKind = sight{f.KJob.UID, f.Now}, kind
	}
	if f.FailingSince = t.failing.at; f.Podless() {
		f.FailingSince = Later(t.failing.at, mended)
	}
}

// first keeps a time unless there is one of that kjob.
func (s *sight) first(of types.UID, at time.Time) {
	if s.of != of {
		*s = sight{of, at}
	}
}
