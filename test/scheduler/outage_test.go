package scheduler

import (
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/rehearsal"
)

// jobs is how many there are in an outage's burst: half of them come in it.
const jobs = 100

// mostly runs jobs. Some runners leave theirs, which takes states and
// notifications, and some can't run, which takes a finish.
func mostly(n int, _ *rehearsal.Runner) rehearsal.Part {
	switch n % 20 {
	case 3:
		return rehearsal.Exits(contract.OutcomeExhausted)
	case 13:
		return rehearsal.Exits(contract.OutcomeConfig)
	}
	return rehearsal.Runs(200 * time.Millisecond)
}

// Buildkite fails in mid-burst: every job has its kjob soon after the end of the
// outage, and it wasn't hammered meanwhile.
func TestBuildkiteOutage(t *testing.T) {
	const lasts = 30 * time.Second
	slowDown := func(endpoint string) simulator.Fault {
		return simulator.Fault{Endpoint: endpoint, Status: 429, Header: map[string]string{"Retry-After": "5"}}
	}
	for _, tt := range []struct {
		name  string
		fault simulator.Fault
		// env: the template takes something from the job's environment.
		// atStart: the scheduler is started in the outage, not before it.
		env, atStart bool
	}{
		{name: "503 on everything", fault: simulator.Fault{Endpoint: "stacks/*", Status: 503}},
		{name: "429 on list", fault: slowDown("stacks_list")},
		{name: "429 on reserve", fault: slowDown("stacks_reserve")},
		{name: "429 on job", fault: slowDown("stacks_job"), env: true},
		{name: "429 on states", fault: slowDown("stacks_states")},
		{name: "429 on finish", fault: slowDown("stacks_finish")},
		{name: "429 on notify", fault: slowDown("stacks_notify")},
		{name: "429 on register", fault: slowDown("stacks_register"), atStart: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			settings := "  max-in-flight: 0\n"
			if tt.env {
				settings += "  template: {inline: {spec: {containers: [{name: agent, image: 'agent:{{env.TAG}}'}]}}}\n"
			}
			l := open(t, settings)
			l.play(mostly)
			if !tt.atStart {
				l.Serving(l.ctx, l.launch(), 0) //nolint:errcheck // the wait for kjobs says so too
			}
			ids := l.build(jobs / 2)
			if !tt.atStart {
				if err := l.Watch.WaitFor(l.ctx, jobs/10); err != nil {
					t.Fatal(err)
				}
			}
			fault := l.Simulator.AddFault(tt.fault)
			began := time.Now()
			if tt.atStart {
				l.launch()
			}
			ids = append(ids, l.build(jobs/2)...)
			time.Sleep(lasts)
			l.Simulator.RemoveFault(fault)
			lasted := time.Since(began)

			took := l.allHaveKjobs(ids)
			t.Logf("every job had its kjob %s after the end of the outage", took.Round(100*time.Millisecond))
			l.modest(l.Requests(began, began.Add(lasted)), lasted, func(endpoint string) bool {
				return endpoint == tt.fault.Endpoint || tt.fault.Endpoint == "stacks/*" && strings.HasPrefix(endpoint, "stacks_")
			})
			if n := l.Requests(began, began.Add(lasted)); tt.fault.Endpoint != "stacks/*" && n[tt.fault.Endpoint] == 0 {
				t.Errorf("%s wasn't called in the outage: the test shows nothing", tt.fault.Endpoint)
			}
			l.ended(2 * time.Minute)
		})
	}
}

// The API server is away for twenty seconds in mid-burst.
func TestAPIServerOutage(t *testing.T) {
	const lasts = 20 * time.Second
	l := open(t, "  max-in-flight: 0\n")
	l.play(mostly)
	front, err := l.Front()
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close() //nolint:errcheck // nobody is there any more
	l.launch("--kubeconfig", front.Kubeconfig)
	ids := l.build(3 * jobs)
	if err := l.Watch.WaitFor(l.ctx, jobs); err != nil {
		t.Fatal(err)
	}
	if err := l.Cluster.StopAPIServer(l.ctx); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	ids = append(ids, l.build(jobs)...)
	time.Sleep(lasts)
	if err := l.Cluster.StartAPIServer(l.ctx); err != nil {
		t.Fatal(err)
	}
	lasted := time.Since(began)

	took := l.allHaveKjobs(ids)
	t.Logf("every job had its kjob %s after the end of the outage", took.Round(100*time.Millisecond))
	l.modest(front.Unanswered(began), lasted, func(string) bool { return true })
	l.ended(3 * time.Minute)
	for _, name := range l.overlapping() {
		t.Errorf("the kjob %s was made before the one before it was finished", name)
	}
}
