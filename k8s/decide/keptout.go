package decide

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
)

// KeptOut: somebody keeps the attempt's pod from being made, and will let it in:
// Kueue, or an administrator, who has suspended the kjob, or a ResourceQuota. That is
// no time to start in, and may last for days. A kjob that had a pod isn't kept out,
// it is over.
func (f Facts) KeptOut() bool {
	waits := f.KJob.Exists && !f.KJob.Finished && f.Pod.Phase == "" && !f.KJob.PodSeen
	return waits && (f.KJob.Suspended || f.overQuota())
}

// overQuota: the last that the Job controller said is that a quota is used up. It
// tries again for as long as it takes, and says so less and less often.
func (f Facts) overQuota() bool {
	for _, w := range f.Warnings {
		if w.Reason == "FailedCreate" {
			return quotaExceeded(w.Message) && !PermanentRefusal(w.Message)
		}
	}
	return false
}

// quotaExceeded reports whether the API server's refusal is a ResourceQuota's, which
// takes the same object when there is room. The API gives no other sign than the words.
func quotaExceeded(message string) bool { return strings.Contains(message, "exceeded quota: ") }

// KeptOutSince is since when it is so: a kjob that never had a pod has been kept out
// ever since it was made, suspended or resumed.
func (f Facts) KeptOutSince() time.Time {
	return Later(f.KJob.CreatedAt, Later(f.KJob.SuspendedAt, f.KJob.ResumedAt))
}

// letIn is when the pod's time to start began. A pod that is there was let in when it
// was made, which a process that begins anew sees too.
func (f Facts) letIn() time.Time {
	return Later(Later(f.KJob.CreatedAt, f.KJob.ResumedAt), Later(f.LetInAt, f.Pod.CreatedAt))
}

// decideKeptOut is for a kjob that is kept out: it is waited for, its job reserved,
// for as long as the queue says, or for ever.
func decideKeptOut(f Facts) Decision {
	reason, what, _ := pendingWhy(f)
	since, d := f.KeptOutSince(), Decision{Action: None, Reason: reason}
	if most := f.Policy.SuspendedTimeout; most > 0 {
		if d.Again = f.allowed(since, most); !f.Now.Before(d.Again) {
			if !f.believed() {
				return ask(reason)
			}
			return finish(reason, fmt.Sprintf("Kubernetes did not let the pod in within %s (suspended-timeout): %s", most, what))
		}
	}
	if look := since.Add(NoticeAfter); f.Now.Before(look) {
		if d.Again.IsZero() || look.Before(d.Again) {
			d.Again = look
		}
		return d
	}
	d.Text, d.Waiting = "waiting to start: "+what, true
	return d
}

// heldBy is what is known of who holds a suspended kjob: its words, or its name.
func (f Facts) heldBy() string {
	switch {
	case f.Admission != "":
		return ": " + f.Admission
	case f.KJob.Holder != "":
		return " (" + f.KJob.Holder + ")"
	default:
		return ""
	}
}

// kueueQueue is the label that puts a Job under Kueue, and in a queue of it.
const kueueQueue = "kueue.x-k8s.io/queue-name"

func holderOf(k *batchv1.Job) string {
	switch by := k.Spec.ManagedBy; {
	case k.Labels[kueueQueue] != "":
		return "queue " + contract.Word(k.Labels[kueueQueue]) + " of Kueue"
	case by != nil && *by != batchv1.JobControllerName:
		return "managed by " + contract.Word(*by)
	default:
		return ""
	}
}

// refusalUnread: why there is no pod only Events say, and they are still to be read.
// A quota's refusal is waited for, and no job is finished without a look.
func (f Facts) refusalUnread() bool {
	podless := f.Pod.Phase == "" && !f.KJob.PodSeen
	return podless && f.DeafFor < deafGrace && f.Now.Sub(f.EventsAt) > WarningsEvery
}

// seeKeptOut notes when a kjob that was kept out was let in: before Kubernetes says so,
// it may seem to have had all of its time.
func (t *Timeline) seeKeptOut(f *Facts) {
	switch uid := f.KJob.UID; {
	case f.KeptOut():
		t.out = uid
	case t.out == uid && uid != "":
		t.out, t.letIn = "", sight{uid, f.Now}
	}
	if t.letIn.of == f.KJob.UID {
		f.LetInAt = t.letIn.at
	}
}
