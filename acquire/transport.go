package acquire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Authorized returns a RoundTripper that sends every request through base with the
// Authorization header of token, as the stock agent's own transport does: with
// api.Config.HTTPClient set, the agent's client adds none. It reads at most maxReply of
// a reply, and maxError of an error. A 2xx that isn't the API's own is an error.
func Authorized(base http.RoundTripper, token string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		req = req.Clone(req.Context())
		req.Header.Set("Authorization", "Token "+token)
		resp, err := base.RoundTrip(req)
		switch {
		case err != nil:
		case resp.StatusCode < 300:
			return taken(resp)
		default:
			resp.Body = &limitedBody{resp.Body, maxError}
		}
		return resp, err
	})
}

// taken returns a 2xx with its whole body, if that is the API's own. The agent's client
// reads only the bodies that it needs.
func taken(resp *http.Response) (*http.Response, error) {
	body, err := io.ReadAll(&limitedBody{resp.Body, maxReply})
	_ = resp.Body.Close()
	if err == nil {
		err = contract.CheckTaken(resp.Header.Get("Content-Type"), body)
	}
	if err != nil {
		return nil, &unreadable{resp.Status, err}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	if contract.Bare(body) {
		resp.ContentLength = 0
	}
	return resp, nil
}

// unreadable is a 2xx that says nothing: the call may have been taken, or may never have
// reached Buildkite.
type unreadable struct {
	status string
	err    error
}

func (e *unreadable) Error() string { return e.status + ": " + e.err.Error() }

func (e *unreadable) Unwrap() error { return e.err }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// NewTransport returns a transport with the stock agent's settings: proxies
// from the environment, and HTTP/2 with pings after 10 s of silence, so that a
// dead connection is noticed, unless http2 is false.
func NewTransport(http2 bool) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if http2 {
		t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 10 * time.Second, PingTimeout: 5 * time.Second}
		return t
	}
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.ForceAttemptHTTP2 = false
	t.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	return t
}

// HTTPClient returns a client over rt. It has no timeout of its own, because each call
// has one. It follows a redirect only if that keeps the method and the host: otherwise
// a PUT would become a GET, or another host would see our token. Other redirects are
// errors that are retried.
func HTTPClient(rt http.RoundTripper) *http.Client {
	return &http.Client{
		Transport: rt,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			first := via[0]
			if len(via) < 5 && req.Method == first.Method && req.URL.Scheme == first.URL.Scheme && req.URL.Host == first.URL.Host {
				return nil
			}
			return http.ErrUseLastResponse
		},
	}
}

// The client reads each reply to its end, and a server that isn't Buildkite may never
// end one. The longest replies of the API are jobs, whose environment is far below
// maxReply. An error reply is a sentence for the log.
const (
	maxReply = 16 << 20
	maxError = 64 << 10
)

var errLong = errors.New("the reply is too long")

// limitedBody is a reply's body that ends with errLong when nothing is left.
type limitedBody struct {
	io.ReadCloser
	left int
}

func (b *limitedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// capture makes a context whose request leaves a copy of its reply's body, as
// it came over the wire, in the returned buffer.
func capture(ctx context.Context) (context.Context, *bytes.Buffer) {
	buf := new(bytes.Buffer)
	return context.WithValue(ctx, captureKey{}, buf), buf
}

type captureKey struct{}

// capturing is the RoundTripper that capture's contexts speak to.
func capturing(base http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(req)
		if buf, ok := req.Context().Value(captureKey{}).(*bytes.Buffer); ok && err == nil {
			buf.Reset() // a redirect may have come first
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.TeeReader(resp.Body, buf), resp.Body}
		}
		return resp, err
	})
}
