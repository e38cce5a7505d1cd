package jobrun

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/buildkite/agent/v3/api"
)

// outage is a server that takes no start for a while, and tells the job's state.
type outage struct {
	begin, until time.Duration
	state        func(now time.Duration) string // "" is 401
	lost         bool                           // what it doesn't answer it may have taken
	since        time.Time
	starts       []time.Duration
}

func (o *outage) RoundTrip(req *http.Request) (*http.Response, error) {
	now := time.Since(o.since)
	if req.URL.Path[len(req.URL.Path)-len(job):] == job {
		state := o.state(now)
		switch state {
		case "":
			return answer(req, 401, `{"message":"Invalid access token"}`), nil
		case "?":
			return nil, io.ErrUnexpectedEOF
		}
		return answer(req, 200, `{"state":"`+state+`"}`), nil
	}
	o.starts = append(o.starts, now)
	switch {
	case now >= o.until:
		return answer(req, 200, "{}"), nil
	case o.lost && now >= o.begin:
		return answer(req, 502, `{"message":"no"}`), nil
	}
	return answer(req, 503, `{"message":"no"}`), nil
}

// A runner that is too late sends no start at all. That the job is another's counts as
// the answer to one: nothing else may finish it.
func TestStartIsTooLate(t *testing.T) {
	for state, taken := range map[string]bool{"": true, "scheduled": true, "running": true, "canceling": false} {
		synctest.Test(t, func(t *testing.T) {
			client, st, _ := setup(nil)
			tr := client.Config().HTTPClient.Transport.(*transport)
			server := &outage{until: 0, state: func(time.Duration) string { return state }, since: time.Now()}
			tr.base, tr.startBy = server, time.Now().Add(-time.Second)
			_, err := client.StartJob(t.Context(), &api.Job{ID: job})
			got := st.snapshot().Start
			if err == nil || got.Delivered || got.Taken != taken || got.Sent != taken || len(server.starts) > 0 {
				t.Errorf("%q: %v, reported as %+v after %d starts; want taken %t", state, err, got, len(server.starts), taken)
			}
		})
	}
}

// Buildkite gives an accepted job to another agent when it isn't started in time: from
// then on a start is sent only if the job is seen to be accepted, and a job that runs is
// ours only if a start of ours had been sent before.
func TestStartIsInTime(t *testing.T) {
	always := func(state string) func(time.Duration) string { return func(time.Duration) string { return state } }
	for _, tt := range []struct {
		name             string
		server           outage
		delivered, taken bool
		late             bool // starts are sent after the time in which the job is surely ours
	}{
		{name: "an outage that ends in time", server: outage{until: 10 * time.Second, state: always("accepted")}, delivered: true},
		{name: "a longer one, and the job is ours yet", server: outage{until: 40 * time.Second, state: always("accepted")}, delivered: true, late: true},
		{name: "the job was taken back", server: outage{until: 40 * time.Second, state: always("")}, taken: true},
		{name: "it is offered again", server: outage{until: 40 * time.Second, state: always("scheduled")}, taken: true},
		{name: "it runs, and it was we", server: outage{until: time.Hour, lost: true, state: always("running")}, delivered: true},
		{name: "it runs, and it wasn't we", server: outage{until: time.Hour, state: always("running")}, taken: true},
		{name: "it runs, and it wasn't we who came too late", taken: true, late: true,
			server: outage{until: time.Hour, lost: true, begin: 26 * time.Second, state: func(now time.Duration) string {
				if now < 40*time.Second {
					return "accepted"
				}
				return "running"
			}}},
		{name: "nothing is known of it", server: outage{until: time.Hour, state: always("?")}, taken: true},
		{name: "it is being cancelled", server: outage{until: time.Hour, state: always("canceling")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, st, _ := setup(nil)
				tr := client.Config().HTTPClient.Transport.(*transport)
				tt.server.since = time.Now()
				tr.base = &tt.server
				_, err := client.StartJob(t.Context(), &api.Job{ID: job})
				got := st.snapshot().Start
				if (err == nil) != tt.delivered || got.Delivered != tt.delivered || got.Taken != tt.taken {
					t.Errorf("%v, reported as %+v; want delivered %t, taken %t", err, got, tt.delivered, tt.taken)
				}
				late := false
				for _, at := range tt.server.starts {
					late = late || at > 25*time.Second
				}
				if late != tt.late {
					t.Errorf("starts were sent after %v, want some that are late: %t", tt.server.starts, tt.late)
				}
			})
		})
	}
}
