package decide

import "time"

// How long the Job controller has to end a kjob whose pod is gone, or keeps the
// job's next attempt back, and how long if there is a pod to look at. After an
// outage its own caches may be a minute late.
const (
	stuckGrace = 90 * time.Second
	endGrace   = 10 * time.Minute
	// HelperGrace is how long other containers have to end by themselves when the
	// agent's has.
	HelperGrace = 5 * time.Second
)

// decideStuck is for a kjob that isn't finished though its pod is over. The
// Job controller ends it within seconds; should it have lost sight of it, the
// kjob would stay for ever, and keep back the next attempt. Where only the pod is
// left of it, for people to look at, it goes later.
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
			d.Text = said(f, "is over, and its Kubernetes Job, which does not end, is being deleted; its runner's last words")
		}
		return d
	case !f.Fresh():
		return ask(ReasonUnended)
	default: // an agent has the job; its end will be news
		return d
	}
}

// decideLingering is for an attempt that is over while other containers of its
// pod run on: for ever, as a rule, and the kjob with them, so that it is deleted,
// and its pod gets its termination grace. All that there is to do about the job
// has been done by then, d; an Event keeps the runner's word. A pod that the
// kubelet stops has its time.
//
// The kjob is all that later leaders know of the attempt. While the job is offered it
// stays: until there is another attempt, which takes along what it knows and has it
// deleted, see Superseded, or, where there won't be one, as long as a finished one might.
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

// Superseded is for an unfinished kjob after which another attempt was made, at a
// time since. A suspended one would get a second pod from a resume; the Job
// controller has lost sight of others, once their pods are over.
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
