package controlplane

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// Outage is what a scheduler must get over in the middle of a burst.
type Outage struct {
	Name string
	// Fault is Buildkite's; without one the API server is away.
	Fault *simulator.Fault
	// Lasts is its length at least: it goes on until what is away was asked for.
	Lasts time.Duration
	// Before is how many jobs come before it, More how many in it. It begins when
	// a fifth of the first have their kjobs.
	Before, More int
	// AtStart: the scheduler is started in it, not before it.
	AtStart bool
	// Env: the queue's template takes something from the job's environment.
	Env bool
	// Refused: some runners say that their token was refused.
	Refused bool
}

// Outages are all there are: Buildkite's, which concern one Fixture, and the API
// server's, which concerns all of a cluster and is the last one. Buildkite's
// token is asked for at start and when a runner says that its own was refused;
// the stack is registered at start alone.
func Outages() []Outage {
	const lasts, jobs = 30 * time.Second, 50
	all := []Outage{{Name: "503 on everything", Fault: &simulator.Fault{Endpoint: "stacks/*", Status: 503}}}
	slow := func(what, endpoint string) Outage {
		return Outage{Name: "429 on " + what, Fault: &simulator.Fault{Endpoint: endpoint, Status: 429, Header: map[string]string{"Retry-After": "5"}}}
	}
	for _, what := range []string{"list", "reserve", "job", "states", "finish", "notify", "register"} {
		o := slow(what, "stacks_"+what)
		o.Env, o.AtStart = what == "job", what == "register"
		all = append(all, o)
	}
	token, tokenAtStart := slow("token", "token"), slow("token at start", "token")
	token.Refused, tokenAtStart.AtStart = true, true
	all = append(all, token, tokenAtStart)
	for i := range all {
		all[i].Lasts, all[i].Before, all[i].More = lasts, jobs, jobs
	}
	return append(all, Outage{Name: "no API server", Lasts: 20 * time.Second, Before: 300, More: 100})
}

// Settings are what the queue's configuration needs for it.
func (o Outage) Settings() string {
	s := "  max-in-flight: 0\n"
	if o.Env {
		s += "  trusted-pipelines: true\n  template: {inline: {spec: {containers: [{name: agent, image: 'agent:{{env.TAG}}'}]}}}\n"
	}
	return s
}

// Behaviour runs jobs. Some runners leave theirs, which takes states and
// notifications, and some can't run, which takes a finish.
func (o Outage) Behaviour() Behaviour {
	var n atomic.Int64
	return func(ctx context.Context, r *Runner) {
		behaviour := Runs(200 * time.Millisecond)
		switch n.Add(1) % 20 {
		case 4:
			if behaviour = Exits(contract.OutcomeExhausted); o.Refused {
				behaviour = Exits(contract.OutcomeRefused)
			}
		case 14:
			behaviour = Exits(contract.OutcomeConfig)
		}
		behaviour(ctx, r)
	}
}

// Endured is what became of a burst that an outage fell into.
type Endured struct {
	// Late is how long after the outage's end every job had its kjob.
	Late time.Duration
	// Requests are those that were sent in the outage to what was away, by
	// endpoint, and Lasted is its length.
	Requests map[string]int
	Lasted   time.Duration
}

// Most is the most requests a second that any endpoint was sent.
func (e Endured) Most() float64 {
	most := 0
	for _, n := range e.Requests {
		most = max(most, n)
	}
	return float64(most) / e.Lasted.Seconds()
}

// Endure begins a burst, has the outage, and returns when every job has had its
// kjob or is over; or the cause of ctx's end. start starts the scheduler, which
// must use s.Kubeconfig, and returns when it serves; in the outage it serves
// later.
func (s *Fixture) Endure(ctx context.Context, o Outage, start func() error) (e Endured, err error) {
	unanswered := func(from, to time.Time) map[string]int {
		n := s.Requests(from, to)
		maps.DeleteFunc(n, func(endpoint string, _ int) bool {
			return endpoint != o.Fault.Endpoint && (o.Fault.Endpoint != "stacks/*" || !strings.HasPrefix(endpoint, "stacks_"))
		})
		return n
	}
	if o.Fault == nil {
		front, err := s.Front()
		if err != nil {
			return e, err
		}
		// Only the scheduler's: what it has begun may go on after the return.
		context.AfterFunc(ctx, func() { front.Close() }) //nolint:errcheck // nobody is there any more
		s.Kubeconfig = front.Kubeconfig
		unanswered = func(from, _ time.Time) map[string]int { return front.Unanswered(from) }
	}
	build := func(n int) []string {
		ids, _, berr := s.BuildOf(fmt.Sprintf("env: {TAG: v1}\nsteps: [{command: make, parallelism: %d}]", n))
		err = errors.Join(err, berr)
		return ids
	}
	if !o.AtStart {
		if err := start(); err != nil {
			return e, err
		}
	}
	ids := build(o.Before)
	if !o.AtStart {
		err = errors.Join(err, s.Watch.WaitFor(ctx, o.Before/5))
	}
	if err != nil {
		return e, err
	}
	end, err := s.begin(ctx, o)
	if err != nil {
		return e, err
	}
	began := time.Now()
	if o.AtStart {
		err = start()
	}
	ids = append(ids, build(o.More)...)
	err = errors.Join(err, sleep(ctx, o.Lasts))
	// Some calls come when a runner has ended, for which a busy machine takes long.
	for time.Since(began) < 4*o.Lasts && err == nil && len(unanswered(began, time.Now())) == 0 {
		err = sleep(ctx, time.Second)
	}
	err = errors.Join(err, end())
	ended := time.Now()
	if err != nil {
		return e, err
	}
	e.Lasted, e.Requests = ended.Sub(began), unanswered(began, ended)
	err = s.allHaveKjobs(ctx, ids)
	e.Late = time.Since(ended)
	return e, err
}

// allHaveKjobs waits until every job has had its kjob or is over.
func (s *Fixture) allHaveKjobs(ctx context.Context, ids []string) error {
	began := time.Now()
	for {
		left, err := s.WithoutKjob(ctx, ids)
		if err != nil || len(left) == 0 {
			return err
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("%s after the end of the outage %d of %d jobs have no kjob: %w", time.Since(began), len(left), len(ids), err)
		}
	}
}

// begin begins an outage and returns what ends it.
func (s *Fixture) begin(ctx context.Context, o Outage) (end func() error, err error) {
	if o.Fault == nil {
		return func() error { return s.Cluster.StartAPIServer(ctx) }, s.Cluster.StopAPIServer(ctx)
	}
	fault := s.Simulator.AddFault(*o.Fault)
	return func() error { s.Simulator.RemoveFault(fault); return nil }, nil
}

// WithoutKjob asks the API server, and not a cache, which jobs have no kjob and
// are not over.
func (s *Fixture) WithoutKjob(ctx context.Context, ids []string) ([]string, error) {
	kjobs, err := s.Kube.BatchV1().Jobs(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	missing := map[string]bool{}
	for _, id := range ids {
		if j, known := s.Simulator.Job(id); known && !j.State.Terminal() {
			missing[id] = true
		}
	}
	for i := range kjobs.Items {
		delete(missing, jobOf(&kjobs.Items[i]))
	}
	return slices.Sorted(maps.Keys(missing)), nil
}
