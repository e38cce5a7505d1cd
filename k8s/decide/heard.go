package decide

import "time"

// Heard is what the Events on the pod, or on the kjob without a pod, said when they
// were last read.
type Heard struct {
	// Warnings are the messages of the Warnings among them, newest first.
	Warnings []Warning
	// Pulling: the newest Event about a pull says that one begins.
	Pulling bool
	// Stuck is when the kubelet last said that the pod can't start yet, by the node's
	// clock. StuckAt is a lower bound of that time by our clock: the earlier of Stuck
	// and the read of Events before the one that brought it, because the kubelet may
	// send Events late. Zero if it never said so.
	Stuck, StuckAt time.Time
	// Admission is what the holder of a suspended kjob says about it; empty if it says
	// nothing.
	Admission string
	// EventsAt is when they were read, by our clock; zero if they never were.
	EventsAt time.Time
	// DeafAt is when Events could last not be read, and DeafFor how long reading them
	// has failed; zero if they could be read, or if reading isn't allowed.
	DeafAt  time.Time
	DeafFor time.Duration
}

// Subject is the object whose Events are about the attempt: the pod, or a kjob without
// one.
func (f Facts) Subject() string {
	if f.Pod.Phase == "" {
		return string(f.KJob.UID)
	}
	return f.Pod.Name
}

// Warning is a Warning event.
type Warning struct{ Reason, Message string }

// after is h, if it was read after was.
func (h Heard) after(was Heard) Heard {
	if h.StuckAt = was.StuckAt; !was.EventsAt.IsZero() && h.Stuck.After(was.Stuck) {
		h.StuckAt = Earlier(was.EventsAt, h.Stuck)
	}
	return h
}

// EventsAt is when Events were last read, of any object.
func (t *Timeline) EventsAt() time.Time { return t.heard.EventsAt }

// Hear records the Events of a subject that were just read.
func (t *Timeline) Hear(of string, h Heard) { t.heard, t.heardOf = h.after(t.heardBefore(of)), of }

// HearNothing is for Events that we may not read: there is nothing to wait for.
func (t *Timeline) HearNothing(of string, now time.Time) {
	t.heard, t.heardOf = Heard{EventsAt: now}, of
}

// HearNot is for Events that could not be read.
func (t *Timeline) HearNot(of string, now time.Time) {
	h := t.heardBefore(of)
	if !h.DeafAt.IsZero() {
		h.DeafFor += min(now.Sub(h.DeafAt), WarningsEvery) // else nobody tried
	}
	h.DeafAt = now
	t.heard, t.heardOf = h, of
}

func (t *Timeline) heardBefore(of string) Heard {
	if t.heardOf != of {
		return Heard{}
	}
	return t.heard
}
