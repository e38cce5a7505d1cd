package acquire

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/buildkite/agent/v3/api"
)

// verdict is what a request's result means for the next one.
type verdict struct {
	// retry: the same request may do better later.
	retry bool
	// lost: the server may have acted on the request.
	lost bool
	// status is the reply's, 0 without one.
	status int
}

// classify reads a request's result. wrote says that the request was written to
// a connection.
//
// The rules: 423, 429, 5xx and left-over 3xx are retried, as is a 2xx with a
// body that can't be read (something else than the API answered) and any
// failure of the network. Any other 4xx is an answer. A certificate that is not
// trusted, an endpoint that is none, and a header that can't be sent don't heal.
//
// Which replies may hide a change is a guess beyond the obvious (no reply; an
// unreadable 2xx): 500, 502 and 504 may come from a server or a proxy that had
// passed the request on, 503 and 429 mean that it was turned away.
func classify(resp *api.Response, wrote bool, err error) verdict {
	if err == nil {
		return verdict{status: statusOf(resp)}
	}
	if unreadable := (*api.UndecodableResponseError)(nil); errors.As(err, &unreadable) {
		return verdict{retry: true, lost: true, status: statusOf(resp)}
	}
	if resp != nil && resp.Response != nil {
		switch s := resp.StatusCode; {
		case s == http.StatusLocked, s == http.StatusTooManyRequests, s == http.StatusServiceUnavailable:
			return verdict{retry: true, status: s}
		case s >= 500, s < 400:
			return verdict{retry: true, lost: true, status: s}
		default:
			return verdict{status: s}
		}
	}
	return verdict{retry: !incurable(err), lost: wrote}
}

// incurable reports an error of the network or the endpoint that trying again
// won't mend.
func incurable(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
		parse        *url.Error
		address      *net.AddrError
	)
	switch {
	case errors.As(err, &verification), errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid):
		return true
	case errors.As(err, &parse) && parse.Op == "parse":
		return true
	case errors.As(err, &address) && address.Err == "invalid port":
		return true
	}
	// net/http has no types for these.
	s := err.Error()
	return strings.Contains(s, "unsupported protocol scheme") ||
		strings.Contains(s, "server gave HTTP response to HTTPS client") ||
		strings.Contains(s, "net/http: invalid header field")
}

func statusOf(resp *api.Response) int {
	if resp == nil || resp.Response == nil {
		return 0
	}
	return resp.StatusCode
}

// WebPage returns an error that is retried if resp, a 2xx, is a web page:
// something else than the API has answered, such as a proxy, and the API may
// never have heard of the request. Replies that are decoded show that by
// themselves; this is for those whose body nobody reads (start, chunks,
// finish), which may well be empty or anything else.
func WebPage(resp *http.Response) error {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil || kind != "text/html" {
		return nil //nolint:nilerr // no such header is fine
	}
	e := &api.UndecodableResponseError{Status: resp.Status, Err: errors.New("the reply is a web page")}
	if resp.Request != nil {
		e.Method, e.URL = resp.Request.Method, resp.Request.URL.String()
	}
	return e
}
