package acquire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/contract"
)

// verdict is what a request's result means for the next one.
type verdict struct {
	// retry: the same request may do better later.
	retry bool
	// lost: the server may have acted on the request.
	lost bool
	// untrusted: there was no reply, because the endpoint could not show that it is
	// Buildkite.
	untrusted bool
	// status is the reply's, 0 without one.
	status int
}

// classify reads a request's result. wrote says that the request was written to
// a connection.
//
// The rules: 423, 429, 5xx and left-over 3xx are retried, as is any failure of
// the network or of TLS, and whatever isn't the API's own reply: a 2xx with another
// body than the API's, a 4xx that is a page of something on the way. Any other 4xx
// is an answer. A request that can't be sent at all doesn't heal.
//
// Which replies may hide a change is a guess beyond the obvious (no reply; one
// that isn't the API's own): 500, 502 and 504 may come from a server or a proxy
// that had passed the request on, 503 and 429 mean that it was turned away.
func classify(resp *api.Response, wrote bool, err error) verdict {
	status := statusOf(resp)
	if err == nil {
		return verdict{status: status}
	}
	undecodable, foreign := (*api.UndecodableResponseError)(nil), (*unreadable)(nil)
	switch {
	case errors.As(err, &undecodable), errors.As(err, &foreign):
		return verdict{retry: true, lost: true, status: status}
	case status == 0:
		return verdict{retry: !unsendable(err), lost: wrote, untrusted: untrusted(err)}
	case status == http.StatusLocked, status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return verdict{retry: true, status: status}
	case status >= 500, status < 400, !OwnReply(resp, err):
		return verdict{retry: true, lost: true, status: status}
	default:
		return verdict{status: status}
	}
}

// OwnReply reports whether a 4xx, which the agent's client returned as an error, is the
// API's own answer.
func OwnReply(resp *api.Response, err error) bool {
	e := (*api.ErrorResponse)(nil)
	return errors.As(err, &e) && contract.OwnReply(resp.StatusCode, resp.Header.Get("Content-Type"), e.Message)
}

// untrusted reports whether the endpoint could not show that it is Buildkite. Another
// server may answer next time, or the node's clock may be set by then.
func untrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		roots        x509.SystemRootsError
		record       tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid),
		errors.As(err, &roots), errors.As(err, &record):
		return true
	}
	// net/http has no type for this.
	return strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// distrust is the reason alone of an error of untrusted. A notification has no room for
// the prefixes of net/http and TLS.
func distrust(err error) error {
	var verification *tls.CertificateVerificationError
	var request *url.Error
	switch {
	case errors.As(err, &verification):
		return verification.Err
	case errors.As(err, &request):
		return request.Err
	}
	return err
}

// unsendable reports whether net/http itself refused to send the request, because of an
// endpoint, token or header that the server ordered.
func unsendable(err error) bool {
	var (
		parse   *url.Error
		address *net.AddrError
	)
	switch {
	case errors.As(err, &parse) && parse.Op == "parse":
		return true
	case errors.As(err, &address) && address.Err == "invalid port":
		return true
	}
	// net/http has no types for these.
	s := err.Error()
	return strings.Contains(s, "unsupported protocol scheme") || strings.Contains(s, "net/http: invalid header field")
}

func statusOf(resp *api.Response) int {
	if resp == nil || resp.Response == nil {
		return 0
	}
	return resp.StatusCode
}

// bare reports whether a 2xx came without a body: the API may answer so, and a portal too.
func bare(resp *api.Response) bool {
	return statusOf(resp)/100 == 2 && (resp.StatusCode == http.StatusNoContent || resp.ContentLength == 0)
}

var errUnconfirmed = &unreadable{"the reply has no body", errors.New("the job's state doesn't show that Buildkite took the call; check proxies in between")}
