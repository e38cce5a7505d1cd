package simulator

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
)

// Transport returns an http.RoundTripper that calls the Simulator in process, without a
// socket. It is for thousands of clients at once, and for synctest bubbles, in which real
// connections block the clock. A torn connection is the error ECONNRESET, or an unexpected
// EOF of the body if part of the reply was sent.
func (s *Simulator) Transport() http.RoundTripper { return transport{s} }

type transport struct{ s *Simulator }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if closeErr := r.Body.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
		in.Body = io.NopCloser(bytes.NewReader(body))
	}
	// As with a real connection, the server goes on when the client gives up, and the client
	// doesn't wait for the server.
	type answer struct {
		resp *http.Response
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		rec := httptest.NewRecorder()
		torn := serveTorn(t.s, rec, in)
		resp := rec.Result()
		resp.Request = r
		switch {
		case torn && rec.Body.Len() > 0:
			resp.Body = &cutBody{Reader: rec.Body}
			answered <- answer{resp, nil}
		case torn:
			answered <- answer{nil, fmt.Errorf("reading the reply: %w", syscall.ECONNRESET)}
		default:
			answered <- answer{resp, nil}
		}
	}()
	select {
	case a := <-answered:
		return a.resp, a.err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// serveTorn reports whether the handler tore the connection.
func serveTorn(s *Simulator, w http.ResponseWriter, r *http.Request) (torn bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				panic(p)
			}
			torn = true
		}
	}()
	s.ServeHTTP(w, r)
	return false
}

// cutBody is a body that ends with an unexpected EOF.
type cutBody struct{ io.Reader }

func (b *cutBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *cutBody) Close() error { return nil }
