package decide

import (
	"fmt"
	"strings"
	"time"
)

// NextAttempt is for a job that is offered and of whose attempts nothing is left but
// their number, and what was to be told of them.
func NextAttempt(made int, told History, p Policy) Decision {
	if made-told.free() < p.MaxAttempts {
		return Decision{Action: Attempt}
	}
	return gaveUp(made, told.String())
}

func gaveUp(attempts int, story string) Decision {
	return finish(ReasonGaveUp, strings.TrimSuffix(fmt.Sprintf("gave up after %d attempts, none of which had the job: %s", attempts, story), ": "))
}

// NotMade is for a job of which the queue's template makes no kjob.
func NotMade(why error) Decision { return finish(ReasonConfig, why.Error()) }

// CreateRefused is for a kjob that would be refused tomorrow as well.
func CreateRefused(why error) Decision {
	return finish(ReasonAdmission, "Kubernetes refused the Job that the queue's template makes: "+why.Error())
}

// NotLetIn is for a kjob that Kubernetes has refused for now, for some time: it is
// waited for as long as a pod might have been pending, and where a quota is used up
// as long as one might be kept out.
func NotLetIn(refusedFor time.Duration, p Policy, why error) Decision {
	limit := p.PendingTimeout
	if quotaExceeded(why.Error()) {
		limit = p.SuspendedTimeout
	}
	endless := limit == 0 && limit != p.PendingTimeout
	if refusedFor > limit && !endless {
		return finish(ReasonAdmission, fmt.Sprintf("Kubernetes did not let the Job in within %s: %s", limit, why))
	}
	return Decision{Action: None, Reason: ReasonAdmission}
}

// NameTaken is for a kjob whose name somebody else's object has.
func NameTaken(name, namespace string, why error) Decision {
	return finish(ReasonAdmission, fmt.Sprintf("%s in namespace %s: %s", name, namespace, why))
}

// Unmatched is for a job that is to be failed as no queue has the tags it asks for.
func Unmatched(why string) Decision { return finish(ReasonUnmatched, why) }

// Retired is for an unfinished kjob of a queue that isn't served any more. What has a
// node runs, and ends, by itself. What hasn't might wait for ever, and a queue that
// has moved would make a second kjob beside it. Where only helpers are left of a pod,
// they might run for ever.
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

// ask is for what only Buildkite's state tells.
func ask(r Reason) Decision { return Decision{Action: Ask, Reason: r} }

// waiting tells people what the job waits for.
func waiting(r Reason, text string) Decision {
	return Decision{Action: None, Reason: r, Waiting: true, Text: text}
}
