package decide

import "time"

// Heard is what the Events on the kjob (without a pod) or the pod said when they
// were read last.
type Heard struct {
	// Warnings are the messages of the Warnings among them, newest first.
	Warnings []Warning
	// Pulling: of those that are about pulls, the newest begins one.
	Pulling bool
	// Stuck is when the kubelet said last that the pod can't start yet, by the
	// node's clock, and StuckAt a time before that by ours: the kubelet's own if
	// that is earlier, for it may send late what it said, or that of the read
	// before the one that brought it. Zero if it never did.
	Stuck, StuckAt time.Time
	// Admission is what the one who holds a suspended kjob says of it; empty if nobody
	// does.
	Admission string
	// EventsAt is when they were read, by our clock; zero if they never were.
	EventsAt time.Time
	// DeafAt is when they could not be read last, and DeafFor for how long they were
	// tried in vain; zero if they could, or if it isn't allowed.
	DeafAt  time.Time
	DeafFor time.Duration
}

// Subject is whose Events tell of the attempt: the pod's, or those of a kjob that
// has none.
func (f Facts) Subject() string {
	if f.Pod.Phase == "" {
		return string(f.KJob.UID)
	}
	return f.Pod.Name
}

// Warning is a Warning event.
type Warning struct{ Reason, Message string }

// after is h, read after was.
func (h Heard) after(was Heard) Heard {
	if h.StuckAt = was.StuckAt; !was.EventsAt.IsZero() && h.Stuck.After(was.Stuck) {
		h.StuckAt = Earlier(was.EventsAt, h.Stuck)
	}
	return h
}

// EventsAt is when Events were read last, whatever they were of.
func (t *Timeline) EventsAt() time.Time { return t.heard.EventsAt }

// Hear takes in what was just read of the Events of a subject.
func (t *Timeline) Hear(of string, h Heard) { t.heard, t.heardOf = h.after(t.heardBefore(of)), of }

// HearNothing is for Events that one may not read: there is nothing to wait for.
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
