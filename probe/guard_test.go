package probe_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/probe"
	"github.com/onejob-dev/onejob/simulator"
)

// The jobs that a person names must be those of the probe's own steps, and wait. Others stay
// as they are.
func TestProbeNamedJobs(t *testing.T) {
	for name, tt := range map[string]struct {
		name func(a *asked) (foreign []string)
		says string
	}{
		"somebody's, as the waiting one": {func(a *asked) []string {
			a.options.WaitingJob = a.foreign()
			return []string{a.options.WaitingJob.String()}
		}, "isn't that of the probe's step waiting"},
		"somebody's, as the limited one": {func(a *asked) []string {
			a.options.LimitedJob = a.foreign()
			return []string{a.options.LimitedJob.String()}
		}, "isn't that of the probe's step limited"},
		"the one for the other": {func(a *asked) []string {
			a.options.WaitingJob, a.options.LimitedJob = a.options.LimitedJob, a.options.WaitingJob
			return nil
		}, "isn't that of the probe's step waiting"},
		"one that doesn't wait": {func(a *asked) []string {
			for _, j := range a.sim.Jobs() {
				if strings.HasSuffix(j.StepKey, "-limit-first") {
					if err := a.sim.CancelJob(j.ID); err != nil {
						a.Fatal(err)
					}
				}
			}
			return nil
		}, "the job of the step limited doesn't wait"},
	} {
		t.Run(name, func(t *testing.T) {
			// Where any job can be had, nothing but the guard keeps the probe from somebody's.
			ask(t, assumptions.Shipped().With("acquire-other-queue", "granted"), func(a *asked) {
				a.upload()
				foreign := tt.name(a)
				report, err := probe.Run(a.Context(), a.options)
				if err != nil {
					a.Error(err)
				}
				for _, f := range report.Findings {
					if asked := strings.HasPrefix(f.Name, "locked-"); asked && (f.Answer != "" || !strings.Contains(f.Seen, tt.says)) {
						a.Errorf("%s is %q: %s; want it unknown, because it %s", f.Name, f.Answer, f.Seen, tt.says)
					}
				}
				for _, id := range foreign {
					a.untouched(id)
				}
				a.tidied(foreign...)
			})
		})
	}
}

// foreign is somebody's job in another queue.
func (a *asked) foreign() contract.JobID {
	a.Helper()
	b, err := a.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, key: waiting, agents: {queue: other}}]")})
	if err != nil {
		a.Fatal(err)
	}
	id, err := contract.ParseJobID(b.JobIDs[0])
	if err != nil {
		a.Fatal(err)
	}
	return id
}

// A run without a mark, as a person starts it, asks for nothing but its own queue: not even
// which queue is the default one.
func TestProbeKeepsToItsQueue(t *testing.T) {
	ask(t, assumptions.Shipped(), func(a *asked) {
		o := a.options
		o.Queue, o.Mark, o.OtherQueue, o.DefaultQueue = "other", "", "", false
		o.Pipeline = func(yaml string) {
			if _, err := a.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(yaml)}); err != nil {
				a.Error(err)
			}
		}
		report, err := probe.Run(a.Context(), o)
		if err != nil {
			a.Error(err)
		}
		if answered := len(report.Findings) - len(report.Unknown()); answered < 30 {
			a.Errorf("%d questions have an answer", answered)
		}
		for _, s := range a.sim.Stacks() {
			if s.Queue != o.Queue {
				a.Errorf("the stack %s was registered for the queue %s", s.Key, s.Queue)
			}
		}
		for _, one := range a.sim.Agents() {
			if one.Queue != o.Queue {
				a.Errorf("the agent %s was registered for the queue %s", one.Name, one.Queue)
			}
		}
	})
}

// What no profile answers is asked too, where it can be, and docs/probe.md says of the rest
// why it isn't.
func TestProbeNotes(t *testing.T) {
	page, err := os.ReadFile("../docs/probe.md")
	if err != nil {
		t.Fatal(err)
	}
	ask(t, assumptions.Shipped(), func(a *asked) {
		a.upload()
		report, err := probe.Run(a.Context(), a.options)
		if err != nil {
			a.Error(err)
		}
		noted := map[string]string{}
		for _, f := range report.Noted {
			noted[f.Name] = f.Seen
		}
		for _, q := range assumptions.Unplayed {
			explained := strings.Contains(string(page), "| `"+q.Name+"` |")
			if (noted[q.Name] != "") == explained {
				a.Errorf("%s: noted is %q; docs/probe.md says why it isn't asked: %t", q.Name, noted[q.Name], explained)
			}
		}
		for name, want := range map[string]string{
			"agent-with-job": "acquire: 422", "disconnected-agent": "a heartbeat: 401", "ping-interval": "1 s", "late-start": "start: 401",
			"other-bytes": "422", "ended-job-chunk": "401", "stop": "the job is running",
		} {
			if !strings.Contains(noted[name], want) {
				a.Errorf("%s: noted is %q, want a word of %q", name, noted[name], want)
			}
		}
		if text := string(report.YAML()); !strings.Contains(text, "# stop: stop: 200") {
			a.Errorf("the profile has no comment on what no profile has an answer to:\n%s", text)
		}
	})
}

// stopsAt is a transport that stops the probe when Buildkite has answered a call, and before
// the answer is here.
type stopsAt struct {
	http.RoundTripper
	call string
	stop func()
}

func (s stopsAt) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r.Clone(context.WithoutCancel(r.Context())))
	if strings.HasSuffix(r.URL.Path, s.call) {
		s.stop()
		time.Sleep(time.Millisecond)
	}
	if r.Context().Err() != nil && err == nil {
		_ = resp.Body.Close()
		return nil, r.Context().Err()
	}
	return resp, err
}

// A probe that is stopped while Buildkite answers knows the agent that it was given, and the
// job, and ends them.
func TestProbeIsStoppedAtAReply(t *testing.T) {
	for _, call := range []string{"/v3/register", "/connect", "/acquire", "/start"} {
		ask(t, assumptions.Shipped(), func(a *asked) {
			a.upload()
			ctx, cancel := context.WithCancel(a.Context())
			a.options.Transport = stopsAt{a.options.Transport, call, cancel}
			if _, err := probe.Run(ctx, a.options); !errors.Is(err, context.Canceled) {
				a.Errorf("stopped at the reply to %s: %v", call, err)
			}
			a.tidied()
		})
	}
}
