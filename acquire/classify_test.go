package acquire

import (
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

// What net/http itself refuses to send will not heal: the server's own reply to
// register can order such an endpoint, token or header.
func TestUnsendableIsNotRetried(t *testing.T) {
	for _, tt := range []struct{ name, reply string }{
		{"a port that can't be", `{"id":"a","access_token":"t","endpoint":"http://127.0.0.1:99999/v3"}`},
		{"a token with a newline", `{"id":"a","access_token":"t\nu"}`},
		{"a header with a newline", `{"id":"a","access_token":"t","request_headers":{"Buildkite-Hello":"a\nb"}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newScript(map[string][]reply{"register": {{status: 200, body: tt.reply}}})
			c := testClient(s)
			session, err := c.Register(t.Context(), Registration{})
			if err != nil {
				t.Fatal(err)
			}
			c.conf.Transport, c.conf.Register.Attempts = NewTransport(false), 2
			session.api = c.sessionAPI(session.reply)
			err = session.Connect(t.Context())
			if n := c.Tries()["connect"]; Outcome(err) != contract.OutcomeRefused || n != 1 {
				t.Errorf("outcome %q after %d requests, want it refused after one: %v", Outcome(err), n, err)
			}
		})
	}
}
