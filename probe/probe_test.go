package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/probe"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

const mark = "test1234"

// asked is a simulator for a probe to ask, which uploads the probe's pipeline.
type asked struct {
	*testing.T
	sim     *simulator.Simulator
	options probe.Options
	mu      sync.Mutex
	said    []string
}

func ask(t *testing.T, profile assumptions.Profile, f func(a *asked)) {
	synctest.Test(t, func(t *testing.T) {
		sim := simulator.New(simulator.Config{Profile: profile, Queues: []string{"default", "other"}})
		defer synctest.Wait()
		defer sim.Close()
		a := &asked{T: t, sim: sim}
		a.options = probe.Options{
			Endpoint: "http://sim/v3", Token: stacks.Token(simulator.DefaultAgentToken), Queue: "default", OtherQueue: "other",
			Mark: mark, DefaultQueue: true, AskPaused: true, SpendStacks: true, Wait: time.Minute, Transport: sim.Transport(), Say: a.hear,
		}
		f(a)
	})
}

// hear acts on the probe's lines as a person at the terminal does.
func (a *asked) hear(line string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.said = append(a.said, line)
	if strings.HasPrefix(line, "pause the queue") {
		if err := a.sim.SetQueuePaused("default", true); err != nil {
			a.Error(err)
		}
	}
}

// upload makes the build, and finds the jobs whose IDs no call returns.
func (a *asked) upload() {
	a.Helper()
	pipeline, err := probe.Pipeline(a.options)
	if err != nil {
		a.Fatal(err)
	}
	if _, err := a.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(pipeline)}); err != nil {
		a.Fatal(err)
	}
	for _, j := range a.sim.Jobs() {
		id, err := contract.ParseJobID(j.ID)
		if err != nil {
			a.Fatal(err)
		}
		switch {
		case strings.HasSuffix(j.StepKey, "-waiting"):
			a.options.WaitingJob = id
		case strings.HasSuffix(j.StepKey, "-limited"):
			a.options.LimitedJob = id
		}
	}
}

// asks are the steps with whose jobs the probe does what no client may.
var asks = map[string][]string{
	"leave-accepted": {simulator.Abandoned}, "leave-running-none": {simulator.Abandoned}, "leave-running-stop": {simulator.Abandoned},
	"unstarted": {simulator.StartedLate}, "more": {simulator.LogContradiction, simulator.ChunkAfterFinish},
}

// untouched checks that somebody's job is as it was made.
func (a *asked) untouched(id string) {
	a.Helper()
	if j, _ := a.sim.Job(id); j.State != simulator.StateScheduled || j.ReservedBy != "" || len(j.Notifications) > 0 {
		a.Errorf("somebody's job is %s", j.State)
	}
	for _, e := range a.sim.Ledger() {
		if e.JobID == id && e.Request != 0 {
			a.Errorf("somebody's job had %s", e.Event)
		}
	}
}

// tidied checks that no job, agent or stack of the probe is left.
func (a *asked) tidied(foreign ...string) {
	a.Helper()
	for _, j := range a.sim.Jobs() {
		if !j.State.Terminal() && !strings.Contains(strings.Join(foreign, " "), j.ID) {
			a.Errorf("the job of %s is %s", j.StepKey, j.State)
		}
	}
	for _, one := range a.sim.Agents() {
		if one.State != "disconnected" && one.State != "lost" {
			a.Errorf("an agent is %s", one.State)
		}
	}
	for _, s := range a.sim.Stacks() {
		if s.State == "connected" {
			a.Errorf("the stack %s is connected", s.Key)
		}
	}
	for _, v := range a.sim.Violations() {
		j, _ := a.sim.Job(v.JobID)
		if !slices.Contains(asks[strings.TrimPrefix(j.StepKey, "onejob-probe-"+mark+"-")], v.Kind) {
			a.Errorf("violation, by the step %s: %s", j.StepKey, v)
		}
	}
}

// moot are questions that don't arise under a profile.
func moot(p assumptions.Profile) map[string]bool {
	return map[string]bool{"unstarted-job-token": p.UnstartedJob != assumptions.UnstartedJobOfferedAgain}
}

// The probe finds every answer of any Buildkite, in ten minutes, and leaves nothing behind.
func TestProbeFindsOut(t *testing.T) {
	shipped := assumptions.Shipped()
	third := shipped.Opposite()
	for _, q := range assumptions.All {
		if len(q.Sides) > 2 { // neither the first nor the last
			third = third.With(q.Name, q.Sides[1].Name)
		}
	}
	for name, profile := range map[string]assumptions.Profile{
		"shipped": shipped, "opposite": shipped.Opposite(), "third": third,
		"random 1": assumptions.Random(rand.New(rand.NewPCG(1, 1))), "random 2": assumptions.Random(rand.New(rand.NewPCG(2, 2))),
	} {
		t.Run(name, func(t *testing.T) {
			findsOut(t, profile)
		})
	}
}

// findsOut runs the probe against a Buildkite with a profile.
func findsOut(t *testing.T, profile assumptions.Profile) {
	shipped := assumptions.Shipped()
	ask(t, profile, func(a *asked) {
		a.upload()
		began := time.Now()
		report, err := probe.Run(a.Context(), a.options)
		if err != nil {
			a.Error(err)
		}
		if took := time.Since(began); took > 10*time.Minute {
			a.Errorf("it took %s", took)
		}
		for _, f := range report.Findings {
			want := profile.Answer(f.Name)
			if moot(profile)[f.Name] {
				want = ""
			}
			if f.Answer != want {
				a.Errorf("%s: found %q, want %q; seen: %s", f.Name, f.Answer, want, f.Seen)
			}
		}
		a.tidied()
		read, err := assumptions.Parse(report.YAML())
		if err != nil {
			a.Fatalf("%v in\n%s", err, report.YAML())
		}
		for _, d := range assumptions.Diff(read, profile) {
			if !moot(profile)[d.Name] {
				a.Errorf("as written and read, %s is %s, want %s", d.Name, d.A, d.B)
			}
		}
		if len(report.Differs) != len(assumptions.Diff(read, shipped)) {
			a.Errorf("%d answers differ from the shipped ones, want those of %v", len(report.Differs), assumptions.Diff(read, shipped))
		}
	})
}

// A question that needs a person's help or a permission is unknown without it, with the
// reason.
func TestProbeUnasked(t *testing.T) {
	ask(t, assumptions.Shipped(), func(a *asked) {
		a.upload()
		o := a.options
		o.OtherQueue, o.WaitingJob, o.LimitedJob, o.AskPaused, o.SpendStacks = "", "", "", false, false
		report, err := probe.Run(a.Context(), o)
		if err != nil {
			a.Error(err)
		}
		unknown := map[string]string{}
		for _, f := range report.Unknown() {
			unknown[f.Name] = f.Seen
		}
		for name, want := range map[string]string{
			"acquire-other-queue": "--other-queue", "locked-states": "--waiting-job", "locked-retry-after": "--waiting-job",
			"acquire-paused": "--ask-pause", "stack-limit": "--spend-stacks",
		} {
			if !strings.Contains(unknown[name], want) {
				a.Errorf("%s is unknown for %q, want a word of %s", name, unknown[name], want)
			}
			delete(unknown, name)
		}
		if len(unknown) > 0 {
			a.Errorf("unknown are also %v", unknown)
		}
		a.tidied()
	})
}

// The probe refuses a queue with jobs of others and leaves them alone. It also leaves alone
// jobs of others that come later.
func TestProbeLeavesOthersAlone(t *testing.T) {
	foreign := func(a *asked) string {
		b, err := a.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, key: onejob-probe-other567-life, agents: {onejob-probe: other567}}]")})
		if err != nil {
			a.Fatal(err)
		}
		return b.JobIDs[0]
	}
	ask(t, assumptions.Shipped(), func(a *asked) {
		id := foreign(a)
		a.upload()
		report, err := probe.Run(a.Context(), a.options)
		if !errors.Is(err, probe.ErrInUse) || len(report.Unknown()) != len(report.Findings) {
			a.Errorf("the queue is somebody's: %v, %d answers", err, len(report.Findings)-len(report.Unknown()))
		}
		a.untouched(id)
	})
	ask(t, assumptions.Shipped(), func(a *asked) {
		a.upload()
		var id string
		time.AfterFunc(20*time.Second, func() { id = foreign(a) })
		if _, err := probe.Run(a.Context(), a.options); err != nil {
			a.Error(err)
		}
		a.untouched(id)
		a.tidied(id)
	})
	for _, state := range []string{"an agent", "a running job"} {
		ask(t, assumptions.Shipped(), func(a *asked) {
			s := stock(a)
			if state == "a running job" {
				id := foreign(a)
				s("PUT", "jobs/"+id+"/acquire")
			}
			if _, err := probe.Run(a.Context(), a.options); !errors.Is(err, probe.ErrInUse) {
				a.Errorf("the queue has %s: %v", state, err)
			}
		})
	}
}

// stock is somebody's agent, connected, and makes its calls.
func stock(a *asked) func(method, path string) {
	token := simulator.DefaultAgentToken
	call := func(method, path string) {
		req, err := http.NewRequestWithContext(a.Context(), method, "http://sim/v3/"+path, strings.NewReader(`{"name":"stock"}`))
		if err != nil {
			a.Fatal(err)
		}
		req.Header.Set("Authorization", "Token "+token)
		resp, err := a.sim.Transport().RoundTrip(req)
		if err != nil {
			a.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		var reply struct {
			Token string `json:"access_token"`
		}
		if err := json.NewDecoder(resp.Body).Decode(&reply); err != nil || resp.StatusCode != http.StatusOK {
			a.Fatalf("%s: %d, %v", path, resp.StatusCode, err)
		}
		if path == "register" {
			token = reply.Token
		}
	}
	call(http.MethodPost, "register")
	call(http.MethodPost, "connect")
	return call
}

// Stopped at any time, the probe ends within seconds and leaves nothing.
func TestProbeIsStopped(t *testing.T) {
	stop := errors.New("received terminated")
	for _, after := range []time.Duration{time.Second, 5 * time.Second, 17 * time.Second, 20 * time.Second, 25 * time.Second, 40 * time.Second, 3 * time.Minute, 5 * time.Minute} {
		ask(t, assumptions.Shipped(), func(a *asked) {
			if after > time.Second {
				a.upload()
			}
			ctx, cancel := context.WithCancelCause(a.Context())
			time.AfterFunc(after, func() { cancel(stop) })
			began := time.Now()
			_, err := probe.Run(ctx, a.options)
			if !errors.Is(err, stop) {
				a.Errorf("stopped after %s: %v", after, err)
			}
			if took := time.Since(began) - after; took > 16*time.Second {
				a.Errorf("stopped after %s, it ended %s later", after, took)
			}
			a.tidied()
		})
	}
}

// No pipeline, no run: the wait for it is bounded.
func TestProbeWithoutPipeline(t *testing.T) {
	ask(t, assumptions.Shipped(), func(a *asked) {
		began := time.Now()
		report, err := probe.Run(a.Context(), a.options)
		if err == nil || !strings.Contains(err.Error(), "none of the pipeline's jobs") || time.Since(began) > 2*time.Minute {
			a.Errorf("after %s: %v", time.Since(began), err)
		}
		if len(report.Unknown()) != len(assumptions.All) {
			a.Errorf("%d are unknown, want all", len(report.Unknown()))
		}
		a.tidied()
	})
}

// Failures of Buildkite, or of a proxy, leave questions open and cause no wrong answer. The
// report names the jobs, agents and stacks that the probe couldn't end.
func TestProbeInTrouble(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"acquire":      {Endpoint: "acquire", Status: 500},
		"turned away":  {Endpoint: "*", Status: 503, Probability: .1},
		"limited":      {Endpoint: "stacks_states", Status: 429, Header: map[string]string{"Retry-After": "2"}, Probability: .1},
		"lost replies": {Endpoint: "*", Reset: "after", Probability: .05},
		"a gateway":    {Endpoint: "*", Status: 502, Body: "<html>", Probability: .1},
		"a proxy":      {Endpoint: "*", Status: 404, Body: "no", Probability: .05},
	} {
		for _, profile := range []assumptions.Profile{assumptions.Shipped(), assumptions.Shipped().Opposite()} {
			t.Run(name+", "+profile.Answer("job-list"), func(t *testing.T) {
				ask(t, profile, func(a *asked) {
					a.upload()
					a.sim.AddFault(fault)
					report, err := probe.Run(a.Context(), a.options)
					for _, f := range report.Findings {
						if f.Answer != "" && f.Answer != profile.Answer(f.Name) {
							a.Errorf("%s: found %q, want nothing or %q; seen: %s", f.Name, f.Answer, profile.Answer(f.Name), f.Seen)
						}
					}
					if err == nil {
						a.tidied()
						return
					}
					for _, j := range a.sim.Jobs() {
						if known := j.State == simulator.StateWaiting || j.State == simulator.StateLimited; !j.State.Terminal() && !known && !strings.Contains(err.Error(), j.ID) {
							a.Errorf("the job of %s is %s, and %v", j.StepKey, j.State, err)
						}
					}
				})
			})
		}
	}
}

// The probe keeps its pace, except for the one burst on a stack of its own.
func TestProbeIsSlow(t *testing.T) {
	ask(t, assumptions.Shipped(), func(a *asked) {
		a.upload()
		if _, err := probe.Run(a.Context(), a.options); err != nil {
			a.Error(err)
		}
		perSecond := map[int64]int{}
		limited := 0
		for _, r := range a.sim.Requests() {
			switch {
			case strings.Contains(r.Path, "-limit/"):
				limited++
			case r.Status == http.StatusTooManyRequests:
				a.Errorf("%s was answered 429", r.Path)
			default:
				perSecond[r.Time.Unix()]++
			}
		}
		over := 0
		for _, n := range perSecond {
			if n > 2*5 { // a burst of as many may come first, and a look without the pace
				over++
			}
		}
		if over > 6 || limited == 0 || limited > 40 { // it ends what it made at a pace of 20
			a.Errorf("%d seconds saw more than ten calls; %d went to the burst's stack", over, limited)
		}
	})
}
