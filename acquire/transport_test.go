package acquire

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// flood answers every call with a body that never ends.
type flood struct {
	status int
	kind   string
	begin  string

	outcome contract.Outcome // of two tries
}

func (f flood) RoundTrip(req *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	go func() {
		_, err := io.WriteString(w, f.begin)
		for chunk := make([]byte, 1<<20); err == nil; {
			for i := range chunk {
				chunk[i] = 'x'
			}
			_, err = w.Write(chunk)
		}
	}()
	return &http.Response{StatusCode: f.status, Header: http.Header{"Content-Type": {f.kind}}, Request: req, Body: body}, nil
}

// A reply that doesn't end is no reply, and doesn't fill the memory.
func TestEndlessReply(t *testing.T) {
	for name, f := range map[string]flood{
		"a job":    {200, "application/json", `{"id":"`, contract.OutcomeExhausted},
		"an error": {422, "application/json", `{"message":"`, contract.OutcomeRejected},
		"a page":   {403, "text/html", "<html>", contract.OutcomeExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			c := testClient(newScript(nil))
			session, err := c.Register(t.Context(), Registration{})
			if err != nil {
				t.Fatal(err)
			}
			c.conf.Transport, c.conf.Acquire.Attempts = f, 2
			c.conf.Acquire.JitterMin, c.conf.Acquire.JitterMax, c.conf.Acquire.Base = 0, time.Millisecond, time.Millisecond
			session.api = c.sessionAPI(session.reply)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = session.Acquire(ctx, contract.JobID(testJob))
			runtime.ReadMemStats(&after)
			if ctx.Err() != nil || err == nil {
				t.Fatalf("it reads on and on: %v", err)
			}
			if took := (after.TotalAlloc - before.TotalAlloc) / maxReply; took > 40 {
				t.Errorf("two replies took %d times maxReply", took)
			}
			if len(err.Error()) > 4096 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if got := Outcome(err); got != f.outcome {
				t.Errorf("outcome %q, want %q: %v", got, f.outcome, err)
			}
		})
	}
}
