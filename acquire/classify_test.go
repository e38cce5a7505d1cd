package acquire

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

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

// The reason comes first in what people read, over a real handshake too.
func TestUntrustedSaysWhy(t *testing.T) {
	wrong := httptest.NewTLSServer(http.NotFoundHandler())
	defer wrong.Close()
	wrong.Config.ErrorLog = log.New(io.Discard, "", 0)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	for endpoint, want := range map[string]string{
		wrong.URL: "registering: endpoint not trusted after 2 attempts: x509: certificate signed by unknown authority (that was attempt 2 of 2)",
		strings.Replace(plain.URL, "http:", "https:", 1): "registering: endpoint not trusted after 2 attempts: http: server gave HTTP response to HTTPS client (that was attempt 2 of 2)",
	} {
		rt := NewTransport(true)
		c := NewClient(Config{Endpoint: endpoint, Token: "cluster", Transport: rt, Register: DefaultRegister, Log: silent(), Rand: NewRand(1)})
		c.conf.Register.Attempts, c.conf.Register.Base, c.conf.Register.JitterMax = 2, time.Millisecond, 0
		_, err := c.Register(t.Context(), Registration{})
		if Outcome(err) != contract.OutcomeUntrusted || err.Error() != want {
			t.Errorf("%q: %v\nwant %s", Outcome(err), err, want)
		}
		rt.CloseIdleConnections()
	}
}
