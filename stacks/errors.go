package stacks

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Callers branch on these. An *Error is one of them by errors.Is.
var (
	// ErrRefused: the token is not accepted, or not for this (401, 403); CheckToken
	// says which.
	ErrRefused = errors.New("token refused")
	// ErrStackLimit: the organization has reached its limit of stacks (403 to a
	// register: docs/protocol.md#stacks). It is not an ErrRefused, because another
	// token wouldn't help.
	ErrStackLimit = errors.New("no more stacks allowed")
	// ErrNotFound: no such stack, queue or job (404).
	ErrNotFound = errors.New("not found")
	// ErrInvalid: Buildkite doesn't accept the request (400, 409, 422). finish also
	// gets it for a job that is over already.
	ErrInvalid = errors.New("request not accepted")
	// ErrRateLimited: too many requests (429). The endpoint's gate waits.
	ErrRateLimited = errors.New("rate limited")
	// ErrUnavailable: no reply, an unreadable one, a redirect, a 5xx, or a 4xx that
	// isn't Buildkite's own (contract.OwnReply). Whether the call took effect is
	// unknown. The endpoint's gate waits.
	ErrUnavailable = errors.New("buildkite unavailable")
)

// Error is a call that did not succeed.
type Error struct {
	Endpoint Endpoint
	// Status is the HTTP status, 0 when there was no readable reply.
	Status int
	// Message is Buildkite's own, at most 512 bytes of it.
	Message string
	// Between: the 4xx came from something in between, not from Buildkite.
	Between bool
	// RetryAfter is how long Buildkite asked us to stay away, 0 if it didn't.
	RetryAfter time.Duration
	// Err is the cause when Status is 0.
	Err error
}

func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("%s: %v", e.Endpoint, e.Err)
	case e.Message == "":
		return fmt.Sprintf("%s: %d %s%s", e.Endpoint, e.Status, http.StatusText(e.Status), e.advice())
	default:
		return fmt.Sprintf("%s: %d %s%s", e.Endpoint, e.Status, e.Message, e.advice())
	}
}

// advice says what to do about an answer whose own text doesn't say it.
func (e *Error) advice() string {
	switch {
	case e.Is(ErrStackLimit):
		return "; Buildkite accepts the token itself. Either the organization has reached its limit of stacks (30, unless it asked for more): then run `onejob deregister` for installations that are gone, or give several queues one `stack`. Or the token lacks the permission named above"
	case e.Endpoint == EndpointRegister && e.Is(ErrNotFound):
		return "; no self-hosted queue of the token's cluster has this key: use a key that Buildkite shows under Agents, Queues (many organizations have no queue called default)"
	}
	return ""
}

// Unwrap returns the cause, if there was no reply.
func (e *Error) Unwrap() error { return e.Err }

// Is maps the status to the package's sentinels.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrRefused:
		return !e.Between && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden && e.Endpoint != EndpointRegister)
	case ErrStackLimit:
		return !e.Between && e.Status == http.StatusForbidden && e.Endpoint == EndpointRegister
	case ErrNotFound:
		return !e.Between && e.Status == http.StatusNotFound
	case ErrRateLimited:
		return e.Status == http.StatusTooManyRequests
	case ErrUnavailable:
		return e.Between || unavailable(e.Status)
	case ErrInvalid:
		return e.Status >= 400 && !e.Is(ErrUnavailable) && !e.Is(ErrRefused) && !e.Is(ErrStackLimit) && !e.Is(ErrNotFound) && !e.Is(ErrRateLimited)
	}
	return false
}

func unavailable(status int) bool {
	return status == 0 || status/100 == 3 || status >= 500
}

// unanswered reports whether the request most likely got no verdict: Buildkite didn't
// answer, or asked to come later.
func unanswered(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return true
	}
	switch e.Status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return e.Between || unavailable(e.Status) && e.Status < http.StatusInternalServerError
}

// Unclear reports whether the server's state or the request itself may be the cause of
// a failure: there was no reply, or a 5xx, or an answer of something in between.
func Unclear(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Status == 0 || e.Status >= http.StatusInternalServerError || e.Between)
}

// Temporary reports whether the same call may succeed later.
func Temporary(err error) bool {
	return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrRateLimited)
}
