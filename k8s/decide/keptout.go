package decide

import (
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
)

// KeptOut: somebody keeps the attempt's pod from being created and will admit it later:
// Kueue or an administrator has suspended the kjob, or a ResourceQuota is used up. This
// doesn't count as time to start, and may last for days. A suspended kjob that had a
// pod isn't kept out; it is over.
func (f Facts) KeptOut() bool {
	waits := f.KJob.Exists && !f.KJob.Finished && f.Pod.Phase == "" && !f.KJob.PodSeen
	return waits && (f.KJob.Suspended || f.overQuota())
}

// overQuota: the Job controller's last message is that a quota is used up. It retries
// for as long as it takes, and says so less and less often.
func (f Facts) overQuota() bool {
	for _, w := range f.Warnings {
		if w.Reason == "FailedCreate" {
			return quotaExceeded(w.Message) && !PermanentRefusal(w.Message)
		}
	}
	return false
}

// quotaExceeded reports whether a ResourceQuota refused an object, which it accepts
// when there is room again. The API shows that only by its text.
func quotaExceeded(message string) bool { return strings.Contains(message, "exceeded quota: ") }

// KeptOutSince is when that began: a kjob that never had a pod has been kept out since
// it was created, suspended or resumed.
func (f Facts) KeptOutSince() time.Time {
	return Later(f.KJob.CreatedAt, Later(f.KJob.SuspendedAt, f.KJob.ResumedAt))
}

// letIn is when the pod's time to start began. A pod that exists was admitted when it
// was created; a process that has just started sees that too.
func (f Facts) letIn() time.Time {
	return Later(Later(f.KJob.CreatedAt, f.KJob.ResumedAt), Later(f.LetInAt, f.Pod.CreatedAt))
}

// decideKeptOut is for a kjob that is kept out. Its job stays reserved, and it waits
// for as long as the queue allows, or for ever.
func decideKeptOut(f Facts) Decision {
	reason, what, _ := pendingWhy(f)
	since, d := f.KeptOutSince(), Decision{Action: None, Reason: reason}
	if most := f.Policy.SuspendedTimeout; most > 0 {
		if d.Again = f.allowed(since, most); !f.Now.Before(d.Again) {
			if !f.believed() {
				return ask(reason)
			}
			return finish(reason, fmt.Sprintf("Kubernetes did not admit the pod within %s (suspended-timeout): %s", most, what))
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

// heldBy is what is known of the holder of a suspended kjob: its message, or its name.
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

// kueueQueue is the label that puts a Job under Kueue and into one of its queues.
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

// refusalUnread: only Events say why there is no pod, and they haven't been read
// recently. A quota's refusal means waiting, so no job is finished before they are
// read.
func (f Facts) refusalUnread() bool {
	podless := f.Pod.Phase == "" && !f.KJob.PodSeen
	return podless && f.DeafFor < deafGrace && f.Now.Sub(f.EventsAt) > WarningsEvery
}

// seeKeptOut records when a kept out kjob was admitted. Until Kubernetes says so, it
// may seem to have used up its time.
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
