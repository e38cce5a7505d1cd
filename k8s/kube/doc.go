// Package kube is how onejob reaches the API server: a client of the three API groups
// that it needs, how far that server's clock is from ours, whether it answered, and a
// circuit breaker for when it doesn't.
package kube
