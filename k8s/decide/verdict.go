package decide

import (
	"fmt"
	"strings"
	"time"
)

// NextAttempt is for an offered job of whose attempts only the number and the history
// are left.
func NextAttempt(made int, told History, p Policy) Decision {
	if !p.usedUp(made, told.free()) {
		return Decision{Action: Attempt}
	}
	return gaveUp(made, told.String())
}

func gaveUp(attempts int, story string) Decision {
	return finish(ReasonGaveUp, strings.TrimSuffix(fmt.Sprintf("gave up after %d attempts, none of which acquired the job: %s", attempts, story), ": "))
}

// NotMade is for a job for which the queue's template gives no valid kjob.
func NotMade(why error) Decision { return finish(ReasonConfig, why.Error()) }

// CreateRefused is for a kjob that the API server would refuse tomorrow too.
func CreateRefused(why error) Decision {
	return finish(ReasonAdmission, "Kubernetes refused the Job that the queue's template makes: "+why.Error())
}

// NotLetIn is for a kjob that Kubernetes refuses for now. It waits as long as a pod may
// be pending, and if a quota is used up as long as a kjob may be kept out.
func NotLetIn(refusedFor time.Duration, p Policy, why error) Decision {
	limit := p.PendingTimeout
	if quotaExceeded(why.Error()) {
		limit = p.SuspendedTimeout
	}
	endless := limit == 0 && limit != p.PendingTimeout
	if refusedFor > limit && !endless {
		return finish(ReasonAdmission, fmt.Sprintf("Kubernetes did not accept the Job within %s: %s", limit, why))
	}
	return Decision{Action: None, Reason: ReasonAdmission}
}

// NameTaken is for a kjob whose name another object has.
func NameTaken(name, namespace string, why error) Decision {
	return finish(ReasonAdmission, fmt.Sprintf("%s in namespace %s: %s", name, namespace, why))
}

// Unmatched is for a job that is to fail because no queue has the tags that it asks
// for.
func Unmatched(why string) Decision { return finish(ReasonUnmatched, why) }

// Retired is for an unfinished kjob of a queue that isn't served any more. A pod with a
// node runs to its end. One without might wait for ever, and a queue that has moved
// would create a second kjob for the job, so its kjob is deleted; so is one whose pod
// has only helpers left, which might run for ever.
func Retired(pods []Pod) Decision {
	d := Decision{Action: Delete, Reason: ReasonLeft, Unplaced: true}
	for _, p := range pods {
		switch {
		case p.Lingers():
			d.Unplaced = false
		case p.Node != "":
			return Decision{Action: None}
		}
	}
	return d
}

// finish ends a job that no runner had.
func finish(r Reason, text string) Decision {
	return Decision{Action: Finish, Reason: r, ExitStatus: -1, Text: text}
}

// ask is for what only Buildkite's state can tell.
func ask(r Reason) Decision { return Decision{Action: Ask, Reason: r} }

// waiting tells people what the job waits for.
func waiting(r Reason, text string) Decision {
	return Decision{Action: None, Reason: r, Waiting: true, Text: text}
}
