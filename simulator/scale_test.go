package simulator_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// crowd runs each job with a runner of its own, width of them at a time. The runners repeat a
// failed call until it is answered.
func crowd(t *testing.T, sim *simulator.Simulator, ids []string, width int, pause time.Duration) {
	t.Helper()
	client := &http.Client{Transport: sim.Transport(), Timeout: time.Minute}
	w := &wire{t, sim, client}
	room := make(chan struct{}, width)
	var wg sync.WaitGroup
	for i, id := range ids {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			if err := runOne(w, id, rng, pause); err != nil {
				t.Errorf("job %s: %v", id, err)
			}
		})
	}
	wg.Wait()
}

var errNotOurs = errors.New("rejected")

func runOne(w *wire, id string, rng *rand.Rand, pause time.Duration) error {
	insist := func(method, path, token, body string) (map[string]any, int, error) {
		for range 30 {
			code, fields, err := w.try(method, path, token, body)
			if err == nil && code < 500 && code != 429 && fields != nil {
				return fields, code, nil
			}
			time.Sleep(pause + time.Duration(rng.Int64N(int64(pause)+1)))
		}
		return nil, 0, fmt.Errorf("%s %s: no answer in 30 tries", method, path)
	}
	reg, _, err := insist("POST", "register", simulator.DefaultAgentToken, `{"name":"a","ignore_in_dispatches":true}`)
	if err != nil {
		return err
	}
	session := reg["access_token"].(string)
	if _, _, err := insist("POST", "connect", session, ""); err != nil {
		return err
	}
	defer func() { _, _, _ = insist("POST", "disconnect", session, "") }()
	job, code, err := insist("PUT", "jobs/"+id+"/acquire", session, "")
	if err != nil {
		return err
	}
	if code == http.StatusUnprocessableEntity {
		return nil // ours or not: leave, and the job goes with the session
	}
	token, _ := job["token"].(string)
	if token == "" {
		return fmt.Errorf("acquire = %d, %v", code, job)
	}
	if _, code, err = insist("PUT", "jobs/"+id+"/start", token, `{"started_at":"now"}`); err != nil || code != 200 {
		return fmt.Errorf("start = %d, %w", code, errors.Join(err, errNotOurs))
	}
	failed := 0
	for n, line := range []string{"hello\n", "world\n"} {
		path := fmt.Sprintf("jobs/%s/chunks?sequence=%d&offset=%d&size=6", id, n+1, n*6)
		if _, code, err := insist("POST", path, token, line); err != nil || code != 200 {
			failed++
		}
	}
	if pause > 0 {
		time.Sleep(time.Duration(rng.Int64N(int64(time.Second))))
	}
	_, code, err = insist("PUT", "jobs/"+id+"/finish", token, fmt.Sprintf(`{"exit_status":"0","chunks_failed_count":%d}`, failed))
	if err != nil || code != 200 && code != http.StatusUnauthorized {
		return fmt.Errorf("finish = %d, %w", code, errors.Join(err, errNotOurs))
	}
	return nil
}

func manyJobs(t testing.TB, sim *simulator.Simulator, n int) []string {
	t.Helper()
	b, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: fmt.Appendf(nil, "steps: [{command: a, parallelism: %d}]", n)})
	if err != nil {
		t.Fatal(err)
	}
	return b.JobIDs
}

func TestTenThousandJobs(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{})
		defer sim.Close()
		ids := manyJobs(t, sim, 10_000)
		crowd(t, sim, ids, 5_000, time.Second)
		if got := sim.JobsIn()[simulator.StateFinished]; got != len(ids) {
			t.Errorf("%d jobs finished, want %d", got, len(ids))
		}
		if v := sim.CheckSettled(); len(v) != 0 {
			t.Errorf("violations: %v", v)
		}
		if got := len(sim.Requests()); got != 20_000 {
			t.Errorf("%d requests remembered, want the 20,000 of the default", got)
		}
		if got := sim.Count("finish", 200); got != len(ids) {
			t.Errorf("%d finishes counted, want %d", got, len(ids))
		}
	})
}

func TestJobsAmongFaults(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := simulator.New(simulator.Config{Seed: seed, HeartbeatTimeout: time.Hour, Profile: simulator.Profile{UnstartedJob: assumptions.UnstartedJobKept}}) // these runners try a start for ever
				defer synctest.Wait()
				defer sim.Close()
				for _, f := range []simulator.Fault{
					{Reset: "before"}, {Reset: "after"}, {Garbage: "before"}, {Garbage: "after"}, {Status: 503}, {Truncate: true},
					{Status: 429, Header: map[string]string{"Retry-After": "1"}}, {Delay: 90 * time.Second}, {Hang: true},
				} {
					f.Endpoint, f.Probability = "agent/*", 0.02
					sim.AddFault(f)
				}
				ids := manyJobs(t, sim, 1_000)
				crowd(t, sim, ids, 1_000, 5*time.Second)
				time.Sleep(5 * time.Minute) // what faults still hold
				if v := sim.CheckSettled(); len(v) != 0 {
					t.Errorf("%d violations, the first: %v", len(v), v[0])
				}
				in := sim.JobsIn()
				if in[simulator.StateFinished] != len(ids) {
					t.Errorf("jobs end as %v, want all finished", in)
				}
				all, provoked := sim.Repeats()
				if provoked == 0 {
					t.Errorf("%d repeats, none provoked: the faults did nothing", all)
				}
			})
		})
	}
}

// BenchmarkJob is one whole job: register, connect, acquire, start, two
// chunks, finish, disconnect.
func BenchmarkJob(b *testing.B) {
	sim := simulator.New(simulator.Config{})
	defer sim.Close()
	client := &http.Client{Transport: sim.Transport()}
	var ids []string
	for len(ids) < b.N {
		ids = append(ids, manyJobs(b, sim, min(b.N-len(ids), 10_000))...)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, id := range ids {
		w := &wire{b, sim, client}
		if err := runOne(w, id, rand.New(rand.NewPCG(1, uint64(i))), 0); err != nil {
			b.Fatal(err)
		}
	}
}
