package scheduler

import (
	"errors"
	"net/http"
	"regexp"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// response is what the API server's answer to a create, or to the GET after it, means
// for the claim. Its value is the metric's label.
type response string

const (
	// responseMade: the kjob exists; the claim holds its slot until the cache
	// shows it, or a live GET finds it gone.
	responseMade response = "created"
	// responseExists: the name is taken, usually by us: by a create that timed out and
	// was applied, or by another scheduler. A GET tells.
	responseExists response = "exists"
	// responseNoNamespace: no kjob at all can be made in the namespace.
	responseNoNamespace response = "no_namespace"
	// responseRefused: this kjob is refused for good.
	responseRefused response = "refused"
	// responseForbidden: this kjob is refused for now. It is retried, with its
	// reservation renewed, as long as a pod may be pending.
	responseForbidden response = "forbidden"
	// responseFailed: the create may have been applied or not. It is retried, one at a
	// time, so that the API server can recover.
	responseFailed response = "failed"

	// The rest are of GETs.

	// responseGone: there is no kjob of the name. The slot is free, and the job is
	// offered again when its reservation lapses.
	responseGone response = "gone"
	// responseOver: it is ours, and finished or on its way out: decided as soon as
	// the cache shows it.
	responseOver response = "over"
	// responseForeign: somebody else's.
	responseForeign response = "foreign"
	// responseOther: another installation's, which looks after it.
	responseOther response = "other_installation"
)

// responseToCreate sorts what came of a create.
func responseToCreate(err error) response {
	switch {
	case err == nil:
		return responseMade
	case apierrors.IsAlreadyExists(err):
		return responseExists
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err) && !byWebhook(err), noRole(err):
		return responseNoNamespace
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err), tooLarge(err),
		apierrors.IsForbidden(err) && decide.PermanentRefusal(err.Error()):
		return responseRefused
	case apierrors.IsForbidden(err), apierrors.IsConflict(err), byWebhook(err):
		// A quota, a conflict in counting it, or a webhook that can't be called or has
		// trouble itself.
		return responseForbidden
	default:
		return responseFailed
	}
}

// responseToGet sorts what a GET has found under the name of a job's kjob.
func responseToGet(k *batchv1.Job, err error, id contract.JobID, queueLabel, installation string) response {
	switch {
	case apierrors.IsNotFound(err):
		return responseGone
	case err != nil:
		return responseFailed
	case k.Labels[contract.LabelJobID] != id.String() || k.Labels[contract.LabelQueue] != queueLabel:
		return responseForeign
	case kjob.Foreign(k.Labels, installation):
		return responseOther
	case kjob.Finished(k) || k.DeletionTimestamp != nil:
		return responseOver
	default:
		return responseMade
	}
}

// forbiddenUser begins the API server's own refusal of a user: `jobs.batch "x" is
// forbidden: User "u" cannot create resource "jobs" …`. A policy's or a webhook's may
// quote any text of a step's, but not at the beginning.
var forbiddenUser = regexp.MustCompile(`^\S+( "[^"]*")? is forbidden: User "[^"]*" cannot create resource `)

// noRole: not this kjob is refused, but we, in the whole namespace. A namespace that is
// being deleted loses its RoleBindings first. The API has one code, Forbidden, for this
// and for refusals of admission; only the text differs.
func noRole(err error) bool {
	return apierrors.IsForbidden(err) && forbiddenUser.MatchString(err.Error())
}

// tooLarge: etcd, or the client of it in the API server, takes no object of that size.
// It is answered with a 500, as if the server had trouble.
func tooLarge(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Code != http.StatusInternalServerError || byWebhook(err) {
		return false
	}
	text := status.Status().Message
	return strings.Contains(text, "etcdserver: request is too large") || strings.Contains(text, "trying to send message larger than max")
}

// byWebhook: an admission webhook could not be called, or refused with a code of its
// own. The API server itself is well, so other namespaces' kjobs must not wait. The API
// server shows that only by its text.
func byWebhook(err error) bool {
	return strings.Contains(err.Error(), "failed calling webhook") || strings.Contains(err.Error(), "admission webhook")
}
