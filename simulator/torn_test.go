package simulator_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/simulator"
)

// TestHalfARequestIsNone: a request that the client doesn't send completely has no effect.
func TestHalfARequestIsNone(t *testing.T) {
	l := newLab(t, simulator.Config{})
	_, ids := l.build(`steps: [{command: a}]`)
	job, client := l.start(ids[0])
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = fmt.Fprintf(conn, "PUT /v3/jobs/%s/finish HTTP/1.1\r\nHost: sim\r\nAuthorization: Token %s\r\nContent-Length: 100\r\n\r\n{\"exit_status\":\"1\"}", ids[0], job.Token)
	time.Sleep(10 * time.Millisecond)
	_ = conn.Close()
	if err := l.Wait(t.Context(), func() bool { return l.Count("finish", 0) == 1 }); err != nil {
		t.Fatal(err)
	}
	l.wantState(ids[0], simulator.StateRunning)
	job.ExitStatus = "0"
	if _, err := client.FinishJob(t.Context(), job, nil); err != nil {
		t.Errorf("FinishJob: %v", err)
	}
	l.wantNoViolations()
}

// TestTornConnections: over a real connection each kind of loss comes out as
// an error that the client takes for retryable.
func TestTornConnections(t *testing.T) {
	for name, f := range map[string]simulator.Fault{
		"reset before": {Reset: "before"}, "reset after": {Reset: "after"},
		"garbage": {Garbage: "before"}, "truncated": {Truncate: true},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, simulator.Config{})
			_, ids := l.build(`steps: [{command: a}]`)
			session := l.session()
			f.Endpoint, f.Times = "acquire", 1
			l.AddFault(f)
			_, _, err := session.AcquireJob(t.Context(), ids[0])
			if err == nil || !api.IsRetryableError(err) {
				t.Errorf("acquire: %v, want an error to retry", err)
			}
			if f.Garbage == "" {
				if err := l.Wait(t.Context(), func() bool { return l.Count("acquire") == 1 }); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}
