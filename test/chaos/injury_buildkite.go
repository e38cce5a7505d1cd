package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// fault adds a fault to the simulator, on all calls or those of one side.
func (m *machine) fault(rng *rand.Rand, f simulator.Fault) (wound, error) {
	f.Endpoint = []string{"*", "*", "agent/*", "stacks/*"}[rng.IntN(4)]
	id := m.Simulator.AddFault(f)
	return wound{
		what: fmt.Sprintf("on %s, %.0f %% of the calls", f.Endpoint, 100*f.Probability),
		heal: func(context.Context) error { m.Simulator.RemoveFault(id); return nil },
	}, nil
}

func serverErrors(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	return m.fault(rng, simulator.Fault{Status: []int{500, 502, 503}[rng.IntN(3)], Body: "<html>an error</html>", Probability: 0.5 + rng.Float64()/2})
}

// tooMany answers 429, with a Retry-After in every form there is.
func tooMany(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	forms := []map[string]string{
		nil,
		{"Retry-After": strconv.Itoa(1 + rng.IntN(5))},
		{"Retry-After": "0"},
		{"Retry-After": "soon"},
		{"Retry-After": time.Now().Add(4 * time.Second).UTC().Format(http.TimeFormat)},
	}
	return m.fault(rng, simulator.Fault{Status: http.StatusTooManyRequests, Header: forms[rng.IntN(len(forms))], Probability: 0.5 + rng.Float64()/2})
}

// loseReplies lets calls happen and tears their replies.
func loseReplies(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	return m.fault(rng, simulator.Fault{Reset: "after", Probability: 0.2 + rng.Float64()*0.4})
}

func loseRequests(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	return m.fault(rng, simulator.Fault{Reset: "before", Probability: 0.2 + rng.Float64()*0.4})
}

func garbage(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	f := simulator.Fault{Probability: 0.2 + rng.Float64()*0.3}
	switch rng.IntN(3) {
	case 0:
		f.Garbage = "before"
	case 1:
		f.Garbage = "after"
	default:
		f.Truncate = true
	}
	return m.fault(rng, f)
}

// proxyPages are what a captive portal or a proxy has to say of each call: never
// Buildkite's verdict, whatever the status.
func proxyPages(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	f := simulator.Fault{
		Status: []int{200, 302, 401, 403, 404, 407}[rng.IntN(6)], Body: "<html>Accept our terms</html>",
		Header: map[string]string{"Content-Type": "text/html"}, Probability: 0.5 + rng.Float64()/2,
	}
	if f.Status == http.StatusFound {
		f.Header["Location"] = "http://portal.invalid/terms"
	}
	w, err := m.fault(rng, f)
	w.what = fmt.Sprintf("%d, %s", f.Status, w.what)
	return w, err
}

func delays(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	return m.fault(rng, simulator.Fault{Delay: time.Second + time.Duration(rng.Int64N(int64(8*time.Second))), Probability: 0.3})
}

// jumpClock sets the simulator's clock anywhere within maxSkew of the machine's.
func jumpClock(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	skew := time.Duration(rng.Int64N(int64(2*maxSkew))) - maxSkew
	m.setClock(skew)
	return wound{what: fmt.Sprintf("Buildkite's is %s off", skew.Round(time.Millisecond))}, nil
}

// maxSkew bounds the clock's jumps: twice that makes a silence of runners, and
// with an injury's own it must not come to heartbeatTimeout.
const maxSkew = 12 * time.Second

// cancelJob is a person who cancels a job.
func cancelJob(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	var live []string
	for _, j := range m.Simulator.Jobs() {
		if !j.State.Terminal() && j.State != simulator.StateCanceling {
			live = append(live, j.ID)
		}
	}
	id, err := pick(rng, live)
	if err != nil {
		return wound{}, err
	}
	m.mu.Lock()
	m.cancelled[id] = true
	m.mu.Unlock()
	return wound{what: id, jobs: []string{id}}, m.Simulator.CancelJob(id)
}
