// Package kube is how onejob reaches the API server: the three API groups that
// it needs, how far that server's clock is from ours, whether it answered at
// all, and a circuit breaker for when it does not.
package kube
