package decide

import "time"

// How long the Job controller may take to end a kjob: one whose pod is gone or that
// delays the next attempt, and one whose pod is still there to look at. After an outage
// the controller's own caches may be a minute late.
const (
	stuckGrace = 90 * time.Second
	endGrace   = 10 * time.Minute
	// HelperGrace is how long other containers have to end by themselves when the
	// agent's has.
	HelperGrace = 5 * time.Second
)

// decideStuck is for a kjob that isn't finished although its pod is over. The Job
// controller ends it within seconds. If the controller has lost sight of it, the kjob
// would stay for ever and delay the next attempt. If the pod still exists, the kjob is
// deleted later, so that people can look at the pod.
func decideStuck(f Facts) Decision {
	d, grace := decideEnded(f), endGrace
	if d.Action != None {
		return d
	}
	if f.Pod.Lingers() {
		return decideLingering(f, d)
	}
	if d.Reason == ReasonOfferAgain {
		return d
	}
	if f.State.Offered() || f.Pod.Deleted {
		grace = stuckGrace
	}
	switch end := f.OverAt.Add(grace); {
	case f.Now.Before(end):
		if d.Again.IsZero() || end.Before(d.Again) {
			d.Again = end
		}
		return d
	case f.State.Over(), f.Fresh() && !f.State.Held():
		d = Decision{Action: Delete, Reason: ReasonUnended, Unplaced: f.Pod.Deleted}
		if f.State.Offered() {
			d.Text = said(f, "is over but its Kubernetes Job does not end, so onejob deletes it; the runner's last message")
		}
		return d
	case !f.Fresh():
		return ask(ReasonUnended)
	default: // an agent has the job; its end will be news
		return d
	}
}

// decideLingering is for an attempt that is over while other containers of its pod run
// on, usually for ever, and keep the kjob unfinished. So the kjob is deleted, and its
// pod gets its termination grace. Everything else about the job has been done by then
// (d), and an Event keeps the runner's message. A pod that the kubelet already stops
// gets its time.
//
// The kjob is all that later leaders know of the attempt, so it stays while Buildkite
// offers the job: until there is another attempt, which takes over its history and has
// it deleted (see Superseded); or, if there is none, as long as a finished kjob might
// stay.
func decideLingering(f Facts, d Decision) Decision {
	grace := HelperGrace
	switch {
	case f.State.Offered() && f.OtherPodLives != "":
		return d // the next attempt waits for that pod
	case f.State.Offered():
		grace = endGrace
	case f.Pod.stops():
		grace = f.Policy.Grace + outliveGrace
	}
	switch end := f.OverAt.Add(grace); {
	case f.Now.Before(end):
		if d.Again.IsZero() || end.Before(d.Again) {
			d.Again = end
		}
		return d
	case !f.Fresh():
		return ask(ReasonHelper)
	default:
		return Decision{Action: Delete, Reason: ReasonHelper, Why: lingering(f)}
	}
}

// Superseded is for an unfinished kjob after which another attempt was made at the time
// since. A suspended kjob would get a second pod when resumed; of others, whose pods
// are over, the Job controller has lost sight.
func Superseded(k AttemptKJob, pods []Pod, since, now time.Time) Decision {
	if k.Suspended {
		return Decision{Action: Delete, Reason: ReasonSuspended}
	}
	grace := stuckGrace
	for _, p := range pods {
		switch {
		case !p.Over():
			return Decision{Action: None} // the pod's end will be an event
		case p.Lingers() && !p.stops():
			return Decision{Action: Delete, Reason: ReasonHelper, Why: lingering(Facts{Attempt: k.Number, KJob: k.KJob, Pod: p})}
		default:
			grace = endGrace
		}
	}
	if end := since.Add(grace); now.Before(end) {
		return Decision{Action: None, Again: end}
	}
	return Decision{Action: Delete, Reason: ReasonUnended, Unplaced: grace == stuckGrace}
}
