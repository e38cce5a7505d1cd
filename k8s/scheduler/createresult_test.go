package scheduler

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/onejob-dev/onejob/contract"
)

func TestResponseToCreate(t *testing.T) {
	jobs, kind := schema.GroupResource{Group: "batch", Resource: "jobs"}, schema.GroupKind{Group: "batch", Kind: "Job"}
	forbidden := func(why string) error { return apierrors.NewForbidden(jobs, "x", errors.New(why)) }
	internal := func(why string) error { return apierrors.NewInternalError(errors.New(why)) }
	terminating := apierrors.NewForbidden(jobs, "x", errors.New("unable to create new content in namespace x because it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	for _, tt := range []struct {
		name string
		err  error
		want response
	}{
		{"made", nil, responseMade},
		{"its name is taken", apierrors.NewAlreadyExists(jobs, "x"), responseExists},
		{"no reply in time, perhaps applied", context.DeadlineExceeded, responseFailed},
		{"the server gave up, perhaps after it had applied it", apierrors.NewTimeoutError("etcdserver: request timed out", 1), responseFailed},
		{"no connection", errors.New("connection refused"), responseFailed},
		{"too many requests", apierrors.NewTooManyRequests("later", 1), responseFailed},
		{"an internal error", internal("etcdserver: leader changed"), responseFailed},
		{"a server that isn't ready", apierrors.NewServiceUnavailable("apiserver not ready"), responseFailed},
		{"a token that isn't accepted", apierrors.NewUnauthorized("no"), responseFailed},
		{"a conflict in counting a quota", apierrors.NewConflict(schema.GroupResource{Resource: "resourcequotas"}, "q", errors.New("modified")), responseForbidden},
		{"a quota that is full", forbidden("exceeded quota: q, requested: count/jobs.batch=1, used: 5, limited: 5"), responseForbidden},
		{"a webhook that is down", internal(`failed calling webhook "w": connection refused`), responseForbidden},
		{"a webhook that refuses", &apierrors.StatusError{ErrStatus: metav1.Status{Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound, Message: `admission webhook "w" said no`}}, responseForbidden},
		{"a webhook that denies", forbidden(`admission webhook "w" denied the request: no`), responseRefused},
		{"Pod Security", forbidden(`violates PodSecurity "restricted:latest"`), responseRefused},
		{"an invalid kjob", apierrors.NewInvalid(kind, "x", nil), responseRefused},
		{"one that can't be read", apierrors.NewBadRequest("strict decoding error"), responseRefused},
		{"one that is too large", apierrors.NewRequestEntityTooLargeError("limit is 3145728"), responseRefused},
		{"one that etcd doesn't take", &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "etcdserver: request is too large"}}, responseRefused},
		{"one that is too large for the way to etcd", &apierrors.StatusError{ErrStatus: metav1.Status{Code: 500, Message: "rpc error: code = ResourceExhausted desc = trying to send message larger than max (2117002 vs. 2097152)"}}, responseRefused},
		{"a webhook that quotes an RBAC refusal", &apierrors.StatusError{ErrStatus: metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: `admission webhook "w" denied the request: annotation: jobs.batch "x" is forbidden: User "u" cannot create resource "jobs"`}}, responseRefused},
		{"a policy that quotes one", forbidden(`ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "is forbidden: User "u" cannot create resource "jobs"`), responseRefused},
		{"no right to make any, before the name is known", &apierrors.StatusError{ErrStatus: metav1.Status{Code: 403, Reason: metav1.StatusReasonForbidden, Message: `jobs.batch is forbidden: User "system:serviceaccount:a:b" cannot create resource "jobs" in API group "batch" in the namespace "x"`}}, responseNoNamespace},
		{"no namespace", apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "x"), responseNoNamespace},
		{"a namespace that goes", terminating, responseNoNamespace},
		{"no right to make any", forbidden(`User "u" cannot create resource "jobs" in API group "batch"`), responseNoNamespace},
	} {
		if got := responseToCreate(tt.err); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestResponseToGet(t *testing.T) {
	const id = contract.SampleJobID
	kjob := func(but func(*batchv1.Job)) *batchv1.Job {
		k := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{contract.LabelJobID: id.String(), contract.LabelQueue: "q"}}}
		if but != nil {
			but(k)
		}
		return k
	}
	for _, tt := range []struct {
		name string
		kjob *batchv1.Job
		err  error
		want response
	}{
		{"the create was applied", kjob(nil), nil, responseMade},
		{"the create was not applied, or its kjob is gone", nil, apierrors.NewNotFound(schema.GroupResource{}, "x"), responseGone},
		{"no answer", nil, context.DeadlineExceeded, responseFailed},
		{"finished", kjob(func(k *batchv1.Job) {
			k.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue}}
		}), nil, responseOver},
		{"being deleted", kjob(func(k *batchv1.Job) { k.DeletionTimestamp = &metav1.Time{Time: time.Unix(1e9, 0)} }), nil, responseOver},
		{"another queue's", kjob(func(k *batchv1.Job) { k.Labels[contract.LabelQueue] = "other" }), nil, responseForeign},
		{"this installation's", kjob(func(k *batchv1.Job) { k.Labels[contract.LabelInstallation] = "builds.onejob" }), nil, responseMade},
		{"another installation's", kjob(func(k *batchv1.Job) { k.Labels[contract.LabelInstallation] = "builds.staging" }), nil, responseOther},
		{"not ours", kjob(func(k *batchv1.Job) { k.Labels = nil }), nil, responseForeign},
	} {
		if got := responseToGet(tt.kjob, tt.err, id, "q", "builds.onejob"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
