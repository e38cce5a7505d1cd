package probe

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
)

func (p *prober) askUnconnected(ctx context.Context) error {
	s, got, err := p.register(ctx, p.queueKey)
	if err != nil {
		return err
	}
	if s == nil {
		return refused("register", got)
	}
	id, err := p.jobOf(stepUnconnected)
	if err != nil {
		return err
	}
	g, got, err := s.acquire(ctx, id)
	if err != nil {
		return err
	}
	judged(p, "acquire-unconnected", got, assumptions.AcquireUnconnectedGranted, assumptions.AcquireUnconnectedRefused, "acquire")
	return p.done(ctx, g)
}

// done starts and finishes a job, if its acquire was granted (g isn't nil).
func (p *prober) done(ctx context.Context, g *grant) error {
	if g == nil {
		return nil
	}
	if err := g.run(ctx); err != nil {
		return err
	}
	_, err := g.finish(ctx, "0", "", 0)
	return err
}

func (p *prober) askUnknownQueue(ctx context.Context) error {
	name := "onejob-probe-" + p.Mark + "-none"
	s, got, err := p.register(ctx, name)
	if err != nil {
		return err
	}
	either(p, "register-unknown-queue", got.ok(), assumptions.RegisterUnknownQueueDefaultQueue, assumptions.RegisterUnknownQueueRefused, "register for the queue %s: %s", name, got)
	if s != nil {
		_, err = s.disconnect(ctx)
	}
	return err
}

func (p *prober) askOtherQueue(ctx context.Context) error {
	if p.OtherQueue == "" {
		return errors.New("this question needs another queue of the cluster: give --other-queue")
	}
	s, got, err := p.register(ctx, p.OtherQueue)
	if err != nil {
		return err
	}
	if s == nil {
		return refused("register for the queue "+p.OtherQueue, got)
	}
	if _, err = s.post(ctx, "connect"); err != nil {
		return err
	}
	id, err := p.jobOf(stepOtherQueue)
	if err != nil {
		return err
	}
	g, got, err := s.acquire(ctx, id)
	switch {
	case err != nil:
		return err
	case g != nil || got.status == http.StatusNotFound:
		either(p, "acquire-other-queue", g != nil, assumptions.AcquireOtherQueueGranted, assumptions.AcquireOtherQueueNotFound, "acquire: %s", got)
	default:
		return refused("acquire", got)
	}
	return p.done(ctx, g)
}

// askCanceling cancels the step of an acquired job and then starts the job. It cancels the
// step and not the build, because the build may belong to somebody else.
func (p *prober) askCanceling(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	g, err := s.take(ctx, stepCanceling)
	if err != nil {
		return err
	}
	build, err := p.buildOf(ctx, g.id)
	if err != nil {
		return err
	}
	got, err := s.send(ctx, request{method: http.MethodPost, path: "steps/" + keyPrefix(p.Mark) + stepCanceling + "/cancel", token: g.Token,
		body: map[string]any{"build_id": build, "force": false}})
	if err != nil {
		return err
	}
	if !got.ok() {
		return refused("canceling the step", got)
	}
	if !p.until(ctx, soon, func() bool { return p.jobs.get(g.id).state == contract.JobCanceling }) {
		return errors.New("the job is " + string(p.jobs.get(g.id).state) + " after its step was canceled")
	}
	if got, err = g.start(ctx); err != nil {
		return err
	}
	judged(p, "start-canceling", got, assumptions.StartCancelingTaken, assumptions.StartCancelingRefused, "start")
	_, err = g.finish(ctx, "-1", "cancel", 0)
	return err
}

// buildOf is the UUID of a job's build, from the job's environment.
func (p *prober) buildOf(ctx context.Context, id contract.JobID) (string, error) {
	env, err := p.envOf(ctx, id)
	if err == nil && env["BUILDKITE_BUILD_ID"] == "" {
		err = errors.New("the job's environment has no BUILDKITE_BUILD_ID")
	}
	return env["BUILDKITE_BUILD_ID"], err
}

func (p *prober) envOf(ctx context.Context, id contract.JobID) (map[string]string, error) {
	got, err := p.call(ctx, request{method: http.MethodGet, path: "stacks/" + p.stack + "/jobs/" + id.String(), again: true})
	if err != nil {
		return nil, err
	}
	if !got.ok() {
		return nil, refused("asking for a job", got)
	}
	var reply struct {
		Env map[string]string `json:"env"`
	}
	err = json.Unmarshal(got.body, &reply)
	return reply.Env, err
}

// askLocked acquires the jobs that a person named: one that waits for another step and one
// that waits for its concurrency group.
func (p *prober) askLocked(ctx context.Context) error {
	if p.WaitingJob == "" || p.LimitedJob == "" {
		return errors.New("no call returns the IDs of jobs that wait: give --waiting-job and --limited-job")
	}
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	waiting, err := p.locked423(ctx, s, p.WaitingJob, stepWaiting)
	if err != nil {
		return err
	}
	limited, err := p.locked423(ctx, s, p.LimitedJob, stepLimited)
	if err != nil {
		return err
	}
	p.noted("acquire-texts", "a job that waits for a step: %s; one that is limited: %s", waiting, limited)
	if waiting.status != http.StatusLocked {
		return refused("acquiring a job that waits for a step", waiting)
	}
	if limited.status != http.StatusLocked && limited.status != http.StatusUnprocessableEntity {
		return refused("acquiring a job that is limited", limited)
	}
	either(p, "locked-states", limited.status == http.StatusLocked, assumptions.LockedStatesAllWaiting, assumptions.LockedStatesDependencies,
		"acquiring one that is limited: %s", limited)
	after := waiting.header.Get("Retry-After")
	either(p, "locked-retry-after", after != "", assumptions.LockedRetryAfterSent, assumptions.LockedRetryAfterNone, "Retry-After: %q", after)
	return nil
}

// locked423 acquires a job that a person named, and returns the answer. It is an error if
// the job isn't that of the probe's step, or is granted.
func (p *prober) locked423(ctx context.Context, s *session, id contract.JobID, name string) (answer, error) {
	env, err := p.envOf(ctx, id)
	if err != nil {
		return answer{}, err
	}
	if env["BUILDKITE_STEP_KEY"] != keyPrefix(p.Mark)+name {
		return answer{}, errors.New("the job " + id.String() + " isn't that of the probe's step " + name)
	}
	_, got, err := s.acquire(ctx, id)
	if err == nil && got.ok() {
		err = errors.New("the job of the step " + name + " doesn't wait")
	}
	return got, err
}

// askLag acquires some jobs. After each acquire it reads the list and the states at once, to
// see whether they are late.
func (p *prober) askLag(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	lateList, lateStates := 0, 0
	for n := range lags {
		g, err := s.take(ctx, lagStep(n))
		if err != nil {
			return err
		}
		taken := time.Now()
		listed, held, err := p.nowOf(ctx, g.id)
		if err != nil {
			return err
		}
		if listed {
			lateList++
		}
		if !held {
			lateStates++
		}
		p.say("the list and the states were read " + time.Since(taken).Round(time.Millisecond).String() + " after an acquire")
		if err := p.done(ctx, g); err != nil {
			return err
		}
	}
	either(p, "job-list", lateList > 0, assumptions.JobListLate, assumptions.JobListCurrent, "%d of %d jobs were listed after they were acquired", lateList, lags)
	either(p, "job-states", lateStates > 0, assumptions.JobStatesLate, assumptions.JobStatesCurrent, "%d of %d jobs had their old state after they were acquired", lateStates, lags)
	return nil
}

// nowOf asks at once, without waiting for the pace, whether a job is listed and whether its
// state is that of a held job.
func (p *prober) nowOf(ctx context.Context, id contract.JobID) (listed, held bool, err error) {
	states, err := p.callNow(ctx, request{method: http.MethodPost, path: "stacks/" + p.stack + "/jobs/get-states", body: map[string]any{"job_uuids": []contract.JobID{id}}})
	if err != nil {
		return false, false, err
	}
	list, err := p.callNow(ctx, request{method: http.MethodGet, path: "stacks/" + p.stack + "/scheduled-jobs?limit=1000&queue_key=" + p.Queue})
	if err != nil {
		return false, false, err
	}
	if !states.ok() || !list.ok() {
		return false, false, errors.New("the list or the states were refused: " + list.String() + ", " + states.String())
	}
	var reply struct {
		States map[string]contract.JobState `json:"states"`
	}
	if err := json.Unmarshal(states.body, &reply); err != nil {
		return false, false, err
	}
	for text, state := range reply.States {
		if strings.EqualFold(text, id.String()) {
			held = state.Held()
		}
	}
	return strings.Contains(strings.ToLower(string(list.body)), id.String()), held, nil
}
