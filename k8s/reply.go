package k8s

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
)

// reply is what the API server's answer to a create, or to the GET that looks
// for what a create has made, means for the claim; its value is the metric's.
type reply string

const (
	// replyMade: the kjob exists; the claim holds its slot until the cache
	// shows it, or a live GET finds it gone.
	replyMade reply = "created"
	// replyExists: the name is taken, by us as a rule: by a create that timed
	// out and was applied, or by another scheduler. A live GET tells.
	replyExists reply = "exists"
	// replyNoNamespace: no kjob at all can be made in the namespace.
	replyNoNamespace reply = "no_namespace"
	// replyRefused: this kjob, today and tomorrow.
	replyRefused reply = "refused"
	// replyForbidden: this kjob, for now: it is tried again while its reservation
	// lives.
	replyForbidden reply = "forbidden"
	// replyFailed: it may have been applied or not. It is tried again, and so that
	// the API server can recover, one at a time.
	replyFailed reply = "failed"

	// The rest are of GETs.

	// replyGone: there is no kjob of the name. The slot is free, and the job is
	// offered again when its reservation lapses.
	replyGone reply = "gone"
	// replyOver: it is ours, and finished or on its way out: decided as soon as
	// the cache shows it.
	replyOver reply = "over"
	// replyForeign: somebody else's.
	replyForeign reply = "foreign"
)

// replyToCreate sorts what came of a create.
func replyToCreate(err error) reply {
	switch {
	case err == nil:
		return replyMade
	case apierrors.IsAlreadyExists(err):
		return replyExists
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err) && !byWebhook(err), noRole(err):
		return replyNoNamespace
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err),
		apierrors.IsForbidden(err) && permanentRefusal(err.Error()):
		return replyRefused
	case apierrors.IsForbidden(err), apierrors.IsConflict(err), byWebhook(err):
		// A quota, or that somebody else was faster to count in it, a webhook
		// that can't be called or is in trouble itself.
		return replyForbidden
	default:
		return replyFailed
	}
}

// replyToGet sorts what a GET has found under the name of a job's kjob.
func replyToGet(k *batchv1.Job, err error, id contract.JobID, queueLabel string) reply {
	switch {
	case apierrors.IsNotFound(err):
		return replyGone
	case err != nil:
		return replyFailed
	case k.Labels[contract.LabelJobID] != id.String() || k.Labels[contract.LabelQueue] != queueLabel:
		return replyForeign
	case finished(k) || k.DeletionTimestamp != nil:
		return replyOver
	default:
		return replyMade
	}
}

// noRole: it isn't this kjob that is refused but we, in the whole namespace. A
// namespace that is being deleted loses its RoleBindings first.
func noRole(err error) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), "cannot create resource")
}

// byWebhook: an admission webhook could not be asked, or refused, with whatever
// code it chose. The API server itself is well, so other namespaces' kjobs must
// not wait for it.
func byWebhook(err error) bool {
	return strings.Contains(err.Error(), "failed calling webhook") || strings.Contains(err.Error(), "admission webhook")
}
