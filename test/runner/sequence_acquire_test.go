package runner_test

import (
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

func sequences() []sequence {
	var all []sequence
	for _, group := range [][]sequence{acquireSequences(), registerSequences(), runSequences(), reportSequences(), signalSequences(), foreignSequences()} {
		all = append(all, group...)
	}
	return all
}

// one returns a single fault.
func one(f simulator.Fault) func() []simulator.Fault {
	return func() []simulator.Fault { return []simulator.Fault{f} }
}

const (
	took     = "register connect acquire start chunks finish disconnect"
	refused4 = "register connect acquire:%s stop disconnect"
)

// acquireSequences are about acquiring.
func acquireSequences() []sequence {
	list := []sequence{
		{name: "ok", outcome: contract.OutcomeFinished, calls: took, job: "0//", stock: 0},
		{
			name: "acq-302", faults: one(simulator.Fault{Endpoint: "acquire", Status: 302, Times: 1}), oursFlags: quick,
			outcome: contract.OutcomeFinished, calls: "register connect acquire:302 acquire start chunks finish disconnect", job: "0//",
		},
		{
			name: "acq-423-forever", make: lockedJob, oursFlags: quick,
			exit: contract.ExitLocked, outcome: contract.OutcomeLocked, calls: "register connect acquire:423*7 stop disconnect",
		},
		{
			name: "acq-423-ra0-forever", oursFlags: quick,
			faults: one(simulator.Fault{Endpoint: "acquire", Status: 423, Header: map[string]string{"Retry-After": "0"}}),
			exit:   contract.ExitLocked, outcome: contract.OutcomeLocked, calls: "register connect acquire:423*7 stop disconnect",
		},
		{
			name:   "acq-423-ra400", // the stock agent takes 330 s for it
			faults: one(simulator.Fault{Endpoint: "acquire", Status: 423, Header: map[string]string{"Retry-After": "400"}}),
			exit:   contract.ExitLocked, outcome: contract.OutcomeLocked, calls: "register connect acquire:423 stop disconnect",
			check: func(l *lab, _ string, m contract.Message) {
				if m.NotBefore == nil || time.Until(*m.NotBefore) < 300*time.Second {
					l.Errorf("not_before = %v, want about 400 s from now", m.NotBefore)
				}
			},
		},
		{
			name: "acq-423-then-200", faults: one(simulator.Fault{Endpoint: "acquire", Status: 423, Times: 1}), oursFlags: quick,
			outcome: contract.OutcomeFinished, calls: "register connect acquire:423 acquire start chunks finish disconnect", job: "0//",
		},
		{
			name: "acq-429-ra2", oursFlags: quick,
			faults:  one(simulator.Fault{Endpoint: "acquire", Status: 429, Times: 2, Header: map[string]string{"Retry-After": "2"}}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire:429*2 acquire start chunks finish disconnect", job: "0//",
		},
		{
			name: "acq-500-forever", faults: one(simulator.Fault{Endpoint: "acquire", Status: 500}), oursFlags: quick,
			exit: contract.ExitExhausted, outcome: contract.OutcomeExhausted, calls: "register connect acquire:500*7 stop disconnect",
		},
		{
			name: "acq-503-httpdate", oursFlags: quick,
			faults: func() []simulator.Fault {
				at := time.Now().Add(3 * time.Second).UTC().Format(http.TimeFormat)
				return []simulator.Fault{{Endpoint: "acquire", Status: 503, Times: 2, Header: map[string]string{"Retry-After": at}}}
			},
			outcome: contract.OutcomeFinished, calls: "register connect acquire:503*2 acquire start chunks finish disconnect", job: "0//",
		},
		{
			name: "acq-close", faults: one(simulator.Fault{Endpoint: "acquire", Reset: "before", Times: 2}), oursFlags: quick,
			outcome: contract.OutcomeFinished, calls: "register connect acquire:0*2 acquire start chunks finish disconnect", job: "0//",
		},
		{
			name: "acq-garbage-200", faults: one(simulator.Fault{Endpoint: "acquire", Garbage: "before", Times: 1}), oursFlags: quick,
			outcome: contract.OutcomeFinished, calls: "register connect acquire*2 start chunks finish disconnect", job: "0//",
		},
		{
			// The lost reply: the job is this session's, and nobody can know.
			name: "acq-garbage", faults: one(simulator.Fault{Endpoint: "acquire", Garbage: "after", Times: 1}), oursFlags: quick,
			exit: contract.ExitRejected, outcome: contract.OutcomeAmbiguous, calls: "register connect acquire acquire:422 stop disconnect", job: "-1//",
			check: wantStateAsked, stock: 27,
		},
		{
			name: "acq-lost-reset", faults: one(simulator.Fault{Endpoint: "acquire", Reset: "after", Times: 1}), oursFlags: quick,
			exit: contract.ExitRejected, outcome: contract.OutcomeAmbiguous, calls: "register connect acquire:0 acquire:422 stop disconnect", job: "-1//",
			check: wantStateAsked, stock: unrecorded,
		},
		{
			// As when Buildkite goes down in that moment: its scheduler must tell.
			name: "acq-lost-then-503", oursFlags: quick,
			faults: func() []simulator.Fault {
				return []simulator.Fault{{Endpoint: "acquire", Reset: "after", Times: 1}, {Endpoint: "acquire", Status: 503}}
			},
			exit: contract.ExitExhausted, outcome: contract.OutcomeExhausted, calls: "register connect acquire:0 acquire:503*6 stop disconnect", job: "-1//",
			check: func(l *lab, _ string, m contract.Message) {
				if !m.MaybeGranted {
					l.Errorf("the message doesn't say that the job may have been granted: %+v", m)
				}
			},
			stock: unrecorded,
		},
		{
			// A server that knows its holder gives the job again.
			name: "acq-lost-idempotent", conf: simulator.Config{Profile: simulator.Profile{AcquireAgain: assumptions.AcquireAgainGranted}},
			faults: one(simulator.Fault{Endpoint: "acquire", Truncate: true, Times: 1}), oursFlags: quick,
			outcome: contract.OutcomeFinished, calls: "register connect acquire*2 start chunks finish disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			name: "jobtoken", outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "0//", command: "echo begun; sleep 2",
			check: wantTokens(map[string]simulator.TokenKind{
				"register": simulator.TokenRegistration, "connect": simulator.TokenSession, "acquire": simulator.TokenSession,
				"heartbeat": simulator.TokenSession, "disconnect": simulator.TokenSession,
				"start": simulator.TokenJob, "job_state": simulator.TokenJob, "chunks": simulator.TokenJob, "finish": simulator.TokenJob,
			}),
			drop: []string{"chunks"},
		},
		{
			name: "no-jobtoken", conf: simulator.Config{JobToken: new(bool)}, outcome: contract.OutcomeFinished, calls: took, job: "0//",
			check: wantTokens(map[string]simulator.TokenKind{"start": simulator.TokenSession, "chunks": simulator.TokenSession, "finish": simulator.TokenSession}),
			stock: unrecorded,
		},
	}
	for status, stock := range map[string]int{"401": 0, "404": 0, "409": 0, "410": 0, "422": 27} {
		n := map[string]int{"401": 401, "404": 404, "409": 409, "410": 410, "422": 422}[status]
		list = append(list, sequence{
			name: "acq-" + status, faults: one(simulator.Fault{Endpoint: "acquire", Status: n}),
			exit: contract.ExitRejected, outcome: contract.OutcomeRejected, stock: stock,
			calls: strings.Replace(refused4, "%s", status, 1),
		})
	}
	return list
}

// registerSequences are about registering and connecting.
func registerSequences() []sequence {
	return []sequence{
		{
			name: "reg-401", faults: one(simulator.Fault{Endpoint: "register", Status: 401}),
			exit: contract.ExitRefused, outcome: contract.OutcomeRefused, calls: "register:401", stock: 1,
		},
		{
			name: "reg-422", faults: one(simulator.Fault{Endpoint: "register", Status: 422}),
			exit: contract.ExitRefused, outcome: contract.OutcomeRefused, calls: "register:422", stock: 1,
		},
		{
			name: "reg-500-then-200", faults: one(simulator.Fault{Endpoint: "register", Status: 500, Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register:500 " + took, job: "0//",
		},
		{
			name: "conn-404-twice", faults: one(simulator.Fault{Endpoint: "connect", Status: 404, Times: 2}),
			exit: contract.ExitRefused, outcome: contract.OutcomeRefused, calls: "register connect:404 stop disconnect",
		},
		{
			name: "conn-500-twice", faults: one(simulator.Fault{Endpoint: "connect", Status: 500, Times: 2}),
			outcome: contract.OutcomeFinished, calls: "register connect:500*2 connect acquire start chunks finish disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			name: "interval0", conf: simulator.Config{RegisterReply: func(reply map[string]any) {
				reply["ping_interval"], reply["heartbeat_interval"], reply["job_status_interval"] = 0, 0, 0
			}},
			outcome: contract.OutcomeFinished, calls: took, job: "0//", stock: 2,
		},
		{
			// Another node may trust it, or this one in a while: all the time to
			// register is spent on it.
			name: "tls-selfsigned", tls: true, exit: contract.ExitExhausted, outcome: contract.OutcomeUntrusted, stock: 1,
		},
		// We never ping: what a ping would say is no matter.
		{
			name: "ping-401", faults: one(simulator.Fault{Endpoint: "ping", Status: 401}),
			outcome: contract.OutcomeFinished, calls: took, job: "0//", stock: 1,
		},
		{
			name: "ping-500", faults: one(simulator.Fault{Endpoint: "ping", Status: 500}),
			outcome: contract.OutcomeFinished, calls: took, job: "0//",
		},
		{
			name: "ping-disconnect", faults: one(simulator.Fault{Endpoint: "ping", Status: 200, Body: `{"action":"disconnect"}`}),
			outcome: contract.OutcomeFinished, calls: took, job: "0//",
		},
		{
			name: "ping-pause", faults: one(simulator.Fault{Endpoint: "ping", Status: 200, Body: `{"action":"pause"}`, Times: 2}),
			outcome: contract.OutcomeFinished, calls: took, job: "0//",
		},
	}
}

// lockedJob makes a job that waits for another one, which nobody runs.
func lockedJob(l *lab) string {
	l.Helper()
	return l.build(simulator.BuildRequest{}, "steps: [{command: first}, wait, {command: second}]")[1]
}

func wantStateAsked(l *lab, _ string, m contract.Message) {
	l.Helper()
	if m.Tries["job_state"] != 1 || l.Count("job_state") != 1 {
		l.Errorf("the job's state was asked for %d times (%d counted), want once", l.Count("job_state"), m.Tries["job_state"])
	}
	if n := l.Count("start") + l.Count("finish"); n > 0 {
		l.Errorf("%d calls of start and finish for a job whose owner is unknown", n)
	}
}

// wantTokens asserts which token each endpoint saw.
func wantTokens(want map[string]simulator.TokenKind) func(*lab, string, contract.Message) {
	return func(l *lab, _ string, _ contract.Message) {
		l.Helper()
		seen := map[string]bool{}
		for _, r := range l.Requests() {
			kind, listed := want[r.Endpoint]
			if listed && r.Token != kind {
				l.Errorf("%s came with a %q token, want %q", r.Endpoint, r.Token, kind)
			}
			seen[r.Endpoint] = true
		}
		for endpoint := range want {
			if !seen[endpoint] {
				l.Errorf("no call of %s", endpoint)
			}
		}
	}
}

// sigterm is an act: it sends SIGTERM once endpoint has answered a call.
func sigterm(endpoint string) func(*lab, *process, string) {
	return func(l *lab, p *process, _ string) {
		l.Helper()
		l.awaitCall(endpoint, 1)
		p.signal(syscall.SIGTERM)
	}
}
