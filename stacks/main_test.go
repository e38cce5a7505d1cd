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
	text, isText := reply.(string)
	b := []byte(text)
	resp := &http.Response{StatusCode: status, Header: http.Header{}, Request: r}
	if !isText {
		b, _ = json.Marshal(reply)
		resp.Header.Set("Content-Type", "application/json")
	}
	resp.Body = io.NopCloser(bytes.NewReader(b))
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
