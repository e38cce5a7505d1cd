package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// figures are what one herd came to.
type figures struct {
	// Requests are the acquires sent, Peak the most in one second once the
	// server served, Later the most in one second but the first, in which
	// everybody comes whatever the policy.
	Requests, Peak, Later int
	// GivenUp are the jobs that nobody got, Granted those that somebody did.
	GivenUp, Granted int
	// Last is when the last job was granted.
	Last time.Duration
}

// herd lets n runners take a job each.
//
// They start in the same instant, but for a nanosecond each: so they come to
// the server in one order, and a seed gives the same figures every time.
func herd(t *testing.T, s scenario, p policy, n, capacity int, seed uint64) figures {
	t.Helper()
	var f figures
	synctest.Test(t, func(t *testing.T) {
		var (
			srv     = newServer(s, capacity)
			runners sync.WaitGroup
			givenUp atomic.Int64
		)
		for i := range n {
			runners.Go(func() {
				time.Sleep(time.Duration(i))
				if err := p.take(context.Background(), srv, jobID(i), seed<<32+uint64(i)); err != nil {
					givenUp.Add(1)
				}
			})
		}
		runners.Wait()

		f = figures{GivenUp: int(givenUp.Load()), Granted: len(srv.granted), Last: srv.last.Truncate(100 * time.Millisecond)}
		for second, requests := range srv.seconds {
			f.Requests += requests
			if time.Duration(second)*time.Second >= s.outage {
				f.Peak = max(f.Peak, requests)
			}
			if time.Duration(second)*time.Second >= max(s.outage, time.Second) {
				f.Later = max(f.Later, requests)
			}
		}
	})
	if f.GivenUp+f.Granted != n {
		t.Errorf("case %s, %s: %d jobs given up and %d granted, want %d together", s.name, p.name, f.GivenUp, f.Granted, n)
	}
	return f
}

// TestHerd is the report's herd of a thousand, with what must come out of it.
func TestHerd(t *testing.T) {
	const n, seed = 1000, 1
	run := map[string]map[string]figures{}
	for _, s := range scenarios {
		run[s.name] = map[string]figures{}
		for _, p := range policies {
			run[s.name][p.name] = herd(t, s, p, n, capacity, seed)
			t.Logf("case %-2s %-16s %+v", s.name, p.name, run[s.name][p.name])
		}
	}

	for _, s := range scenarios {
		for _, p := range policies {
			if f := run[s.name][p.name]; p.reaches(s) && f.GivenUp != 0 {
				t.Errorf("case %s, %s: %d jobs given up, want none", s.name, p.name, f.GivenUp)
			}
		}
		if f := run[s.name][onejobPatient.name]; f.Later > capacity {
			t.Errorf("case %s, %s: %d requests in a second, want at most %d", s.name, onejobPatient.name, f.Later, capacity)
		}
	}
	for _, name := range []string{"2", "2b"} {
		// Two waits of 30 s and their jitter bring everybody past the outage.
		if f := run[name][onejob.name]; f.Peak > capacity || f.Requests != 3*n {
			t.Errorf("case %s, %s: %d requests in a second, %d in total; want at most %d, and %d", name, onejob.name, f.Peak, f.Requests, capacity, 3*n)
		}
		// Without jitter they all come at the second in which the outage ends.
		if f := run[name][stock.name]; f.Peak != n {
			t.Errorf("case %s, %s: %d requests in a second, want %d: the model of the stock agent is wrong", name, stock.name, f.Peak, n)
		}
	}
	// Seven attempts in step, of which so many meet a server that serves.
	for name, rounds := range map[string]int{"2b": 5, "4": 7} {
		if f := run[name][stock.name]; f.GivenUp != n-rounds*capacity {
			t.Errorf("case %s, %s: %d jobs given up, want %d", name, stock.name, f.GivenUp, n-rounds*capacity)
		}
	}

	if again := herd(t, scenarios[1], onejob, n, capacity, seed); again != run["2"][onejob.name] {
		t.Errorf("the same seed came to %+v, and before to %+v", again, run["2"][onejob.name])
	}
	if other := herd(t, scenarios[1], onejob, n, capacity, seed+1); other == run["2"][onejob.name] {
		t.Errorf("two seeds came to the same figures, %+v", other)
	}
}
