package decide

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/stacks"
)

// Timeline is what has been seen of a job, and since when by our clock: the part of a
// decision's facts that one look at the cluster doesn't show. Its zero value is a job
// of which nothing is known. It is a cache: a new process sees the same again, later.
//
// Attempts are told apart by their kjobs' UIDs: a name, and so a number, can be used
// again when a kjob is gone and nobody remembers it.
type Timeline struct {
	state   stacks.State
	stateAt time.Time // when it was asked for
	toldAt  time.Time // when the answer came
	heldAt  time.Time // when state was learned to be a held one; zero if it never was

	attempts  int          // the highest number of a kjob that is known to have been made
	own       int          // the number of the last that this process made
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

// AttemptKJob is the kjob of an attempt, for a Timeline.
type AttemptKJob struct {
	Number int
	KJob
	// Story and Faults are of the attempts before it.
	Story  History
	Faults NodeFaults
	// Found is when a process that had just started found it; zero if it was seen to come.
	Found time.Time
}

// AttemptPod is a pod with its kjob and its attempt. The Pod is the cache's own, and a
// Timeline keeps it: nobody may change it.
type AttemptPod struct {
	*Pod
	KJob    types.UID
	Attempt int
}

// Seen is what one look at the cluster shows of a job.
type Seen struct {
	Now time.Time
	// MendedAt is when the API server answered again after an outage; zero if there was none.
	MendedAt time.Time
	// KJob is the last attempt's, among those that exist; its zero value means that
	// there is none. HoldsSlot: it counts as live.
	KJob      AttemptKJob
	HoldsSlot bool
	// Pods are those of all attempts.
	Pods []AttemptPod
	// Stale: this may show the time before an outage.
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

// Own notes that this process made the kjob of an attempt, and so sees all that becomes of it.
func (t *Timeline) Own(number int) { t.own = number }

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
func (t *Timeline) PodStarted() bool { return t.lastPod().Started }

// Learn records a state that Buildkite told, with the time when it was asked. It
// reports false, and records nothing, if the known state was asked for later.
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
// (docs/protocol.md#listing). So it is news only for a job without an attempt and
// without a contradicting state. Otherwise ask is set, unless the state was read just
// now: the state is more reliable. So it is for a job that was offered before its last
// attempt ended: it may be offered for another one.
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

// listedAsks is how old a state must be to be read again when the list contradicts it.
const listedAsks = time.Second

// Reserved is for a job that Buildkite has just reserved for us. For a job that was
// offered before, it is no news.
func (t *Timeline) Reserved(sent, told time.Time) {
	if !t.state.Offered() {
		t.Learn(stacks.StateReserved, sent, told)
	}
}

// KJobGone records that an attempt's kjob was deleted, and reports whether it was the
// last attempt's. A finished kjob may be deleted by its TTL before anything was
// decided; and if Buildkite offers the job again, the end of that attempt still counts.
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
		gone := *p.Pod // the rest of what the cache has of it can go
		p.Pod = &gone
		t.pod = p
	}
}

// Removed notes that we deleted a kjob, and why.
func (t *Timeline) Removed(kjob types.UID, why Reason) { t.removed, t.removedAs = kjob, why }

// Last is the attempt that decisions rest on: the last one, also if its kjob is gone
// and only an earlier attempt's kjob exists. Only a live attempt goes before it,
// because whoever made that didn't know of the other.
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

// See takes what there is of a job, records what is seen for the first time, and
// returns the facts.
func (t *Timeline) See(s Seen) Facts {
	f := Facts{Now: s.Now, State: t.state, StateAt: t.stateAt, ToldAt: t.toldAt, HeldAt: t.heldAt, MendedAt: s.MendedAt, Policy: s.Policy}
	a, gone := t.Last(s.KJob, s.HoldsSlot)
	if a.Exists {
		f.Attempt, f.KJob, f.Story, f.Faults, f.MendedAt = a.Number, a.KJob, a.Story, a.Faults, Later(s.MendedAt, a.Found)
		f.Inherited = a.Number != t.own
		if gone {
			// A kjob that was finished when it was deleted is decided on as if it still
			// existed.
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
			f.Pod, f.KJob.PodSeen = *p.Pod, true
			// It is remembered for the moment when it is gone from the cache and we
			// haven't been told yet.
			t.pod = p
		}
		if (!own || f.KJob.Gone) && p.LivesOnANode() {
			f.OtherPodLives, f.OtherNode = p.Name, p.Node
		}
	}
	if f.Attempt == 0 {
		t.seeOrphan(f, s)
	}
	if last := t.lastPod(); f.Pod.Phase == "" && t.pod.KJob == f.KJob.UID && last.Phase != "" {
		f.Pod, f.KJob.PodSeen = last, true
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

// seeFailing records since when the pod fails in the present way. For a pod that is
// gone while its kjob doesn't end, the time begins again after an outage.
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
