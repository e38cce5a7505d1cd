package kube

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Answered reports whether the API server answered the request itself, even with a
// refusal.
func Answered(err error) bool {
	if err == nil || apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge) {
		return true // of a backup that was restored: the reflector lists anew
	}
	switch apierrors.ReasonForError(err) {
	case metav1.StatusReasonUnknown, metav1.StatusReasonTimeout, metav1.StatusReasonServerTimeout,
		metav1.StatusReasonServiceUnavailable, metav1.StatusReasonInternalError, metav1.StatusReasonTooManyRequests:
		return false
	}
	return true
}
