package launcher

import (
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// A job that may be another agent's by now isn't ours to finish, and gets another
// attempt if Buildkite still offers it.
func TestStartTakenBack(t *testing.T) {
	t.Parallel()
	for _, start := range []string{`"Sent":true,"Taken":true`, `"Taken":true`} {
		b, _, done := attempt(t, t.TempDir(), `
			read handover
			echo '{"Start":{`+start+`,"Err":"no answer"},"Err":"couldn'"'"'t start","Final":true}' >&3`)
		m := result(t, done)
		if m.ExitCode != contract.ExitExhausted || m.Outcome != contract.OutcomeTakenBack {
			t.Errorf("message %+v, want taken_back and 75", m)
		}
		if b.had("finish") || !b.had("disconnect") {
			t.Errorf("calls %v, want no finish and a disconnect", b.calls)
		}
	}
}

// A start that is refused because the build is being cancelled is a cancellation.
func TestStartWhileCanceling(t *testing.T) {
	t.Parallel()
	b := &buildkite{state: "canceling"}
	budget, err := NewBudget(0, 10, -1, false)
	if err != nil {
		t.Fatal(err)
	}
	_, done := b.attempt(t, t.TempDir(), `
		read handover
		echo '{"Start":{"Sent":true,"Refused":true,"Err":"422"},"Err":"couldn'"'"'t start","Final":true}' >&3`, budget)
	m := result(t, done)
	if m.ExitCode != contract.ExitOK || m.Outcome != contract.OutcomeCancelled || m.SignalReason != "cancel" {
		t.Errorf("message %+v, want cancelled and 0", m)
	}
	if !b.had("finish") || b.had("start") || b.had("chunks") {
		t.Errorf("calls %v, want a finish alone", b.calls)
	}
}

// A job that comes with another's environment isn't run.
func TestStaleEnvironment(t *testing.T) {
	for _, tt := range []struct {
		env  map[string]string
		want bool
	}{
		{nil, false},
		{map[string]string{"BUILDKITE_JOB_ID": job}, false},
		{map[string]string{"BUILDKITE_JOB_ID": strings.ToUpper(job)}, false},
		{map[string]string{"BUILDKITE_JOB_ID": "01906f6e-7a3c-4a51-9d6a-2f6f0b9f4a12"}, true},
	} {
		j := &acquire.Job{Job: &api.Job{ID: job, Env: tt.env}}
		if got := staleEnvironment(j); (got != "") != tt.want {
			t.Errorf("%v: %q", tt.env, got)
		}
	}
}

// After an outage of the heartbeats neither the refusal of a job's token nor its state says
// anything of its finish: Buildkite may have ended the job as that of a lost agent.
func TestTokenProvesNothingAfterSilence(t *testing.T) {
	for silence, want := range map[time.Duration]bool{time.Minute: true, 4 * time.Minute: false} {
		synctest.Test(t, func(t *testing.T) {
			refused, lost := false, false // a finish: its first reply, and then its token
			rt := roundTripper(func(req *http.Request) (*http.Response, error) {
				status := 200
				if refused {
					if status = 502; lost {
						status = 401
					}
					lost = true
				}
				return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Request: req, Body: io.NopCloser(strings.NewReader(`{"id":"a","access_token":"session","message":"no"}`))}, nil
			})
			client := acquire.NewClient(acquire.Config{
				Endpoint: "http://buildkite.test/v3", Token: "cluster", Log: slog.New(slog.DiscardHandler), Rand: acquire.NewRand(1),
				Register: acquire.DefaultRegister, Acquire: acquire.DefaultAcquire,
				Transport: rt,
			})
			session, err := client.Register(t.Context(), acquire.Registration{})
			if err == nil {
				err = session.Connect(t.Context())
			}
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(silence)
			r := &run{session: session}
			if got := r.believed(Delivery{Delivered: true, Inferred: true, ByToken: true}); got.Delivered != want || (got.Err == "") != want {
				t.Errorf("after %v of silence: %+v, want delivered %t", silence, got, want)
			}
			if got := r.believed(Delivery{Delivered: true, Inferred: true}); got.Delivered != want || (got.Err == "") != want {
				t.Errorf("after %v of silence, by the job's state: %+v, want delivered %t", silence, got, want)
			}
			if got := r.believed(Delivery{Delivered: true}); !got.Delivered {
				t.Errorf("after %v of silence an answer counts for nothing: %+v", silence, got)
			}
			// So it is for what the child infers, and for what this process does.
			r.Log, r.Rand, r.Transport, r.watch = slog.New(slog.DiscardHandler), acquire.NewRand(1), rt, &signals.Watcher{Stop: t.Context()}
			granted := &acquire.Job{Job: &api.Job{ID: job, Token: "job"}, StartBy: time.Now()}
			r.conclude(granted, Report{Start: Delivery{Sent: true, Delivered: true}, Ran: true, Final: true, ExitStatus: "0", Finish: Delivery{Sent: true, Delivered: true, Inferred: true}}, nil, "")
			if got := r.msg.Outcome == contract.OutcomeFinished; got != want {
				t.Errorf("after %v of silence the child's inference is concluded as %s", silence, r.msg.Outcome)
			}
			refused = true
			if got := r.finish(granted, Finish{ExitStatus: "0"}); got.Delivered != want {
				t.Errorf("after %v of silence a finish whose reply is lost, and then refused, is %+v", silence, got)
			}
			refused = false
		})
	}
}
