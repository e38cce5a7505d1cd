package stacks

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is an http.RoundTripper that answers by a function, in the caller's
// goroutine, so that it works in a synctest bubble.
type server func(r *http.Request, body []byte) (status int, h map[string]string, reply any)

func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	body, _ := io.ReadAll(r.Body)
	status, h, reply := s(r, body)
	if status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	var b []byte
	switch v := reply.(type) {
	case string:
		b = []byte(v)
	default:
		b, _ = json.Marshal(v)
	}
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(b)), Request: r}
	for k, v := range h {
		resp.Header.Set(k, v)
	}
	return resp, nil
}

func client(t *testing.T, s server) *Client {
	t.Helper()
	c, err := New(Config{Endpoint: "http://buildkite.test/v3", Token: Token("t0p-secret"), Stack: "my-stack", Queue: "default", Transport: s})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
