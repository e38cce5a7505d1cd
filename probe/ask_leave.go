package probe

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
)

// left acquires a step's job, starts it if runs is set, and disconnects.
func (p *prober) left(ctx context.Context, name string, runs bool) (contract.JobID, error) {
	s, err := p.agent(ctx, true)
	if err != nil {
		return "", err
	}
	g, err := s.take(ctx, name)
	if err != nil {
		return "", err
	}
	if runs {
		if err := g.run(ctx); err != nil {
			return "", err
		}
	}
	// The probe must have seen the job as held. Otherwise it would take an old state for a
	// new one.
	if !p.until(ctx, soon, func() bool { return p.jobs.get(g.id).state.Held() }) {
		return "", errors.New("its job was never seen with the agent")
	}
	got, err := s.disconnect(ctx)
	if err == nil && !got.ok() {
		err = refused("disconnect", got)
	}
	p.released(g)
	return g.id, err
}

func (p *prober) askLeaveAccepted(ctx context.Context) error {
	id, err := p.left(ctx, stepLeave, false)
	if err != nil {
		return err
	}
	began := time.Now()
	over := func() bool { return !p.jobs.get(id).state.Held() }
	atOnce := p.until(ctx, soon/2, over)
	if !atOnce && !p.until(ctx, lostWithin, over) {
		return errors.New("the job is still held after " + since(began).String())
	}
	// A later change has another cause: Buildkite lost the agent, or took the job back.
	switch state := p.jobs.get(id).state; {
	case !atOnce:
		found(p, "disconnect-accepted", assumptions.DisconnectAcceptedLostLater, "%s after %s", state, since(began))
	case state.Over():
		found(p, "disconnect-accepted", assumptions.DisconnectAcceptedEndsJob, "%s after %s", state, since(began))
	case state.Offered():
		found(p, "disconnect-accepted", assumptions.DisconnectAcceptedOfferedAgain, "%s after %s", state, since(began))
	}
	return nil
}

// askLeaveRunning leaves two running jobs. One has a retry rule for no signal_reason, the
// other one for agent_stop. The job that Buildkite retries shows the reason.
func (p *prober) askLeaveRunning(ctx context.Context) error {
	none, err := p.left(ctx, stepLeaveNone, true)
	if err != nil {
		return err
	}
	began := time.Now()
	stop, err := p.left(ctx, stepLeaveStop, true)
	if err != nil {
		return err
	}
	over := func() bool { return p.jobs.get(none).state.Over() && p.jobs.get(stop).state.Over() }
	atOnce := p.until(ctx, 2*soon, over)
	if !atOnce && !p.until(ctx, lostWithin, over) {
		return errors.New("the jobs are still held after " + since(began).String())
	}
	either(p, "disconnect-running", atOnce, assumptions.DisconnectRunningEndsJob, assumptions.DisconnectRunningLostLater, "%s after %s", p.jobs.get(none).state, since(began))
	retried := func(name string) bool { return len(p.jobs.named(name)) > 1 }
	p.until(ctx, retriedWithin, func() bool { return retried(stepLeaveNone) || retried(stepLeaveStop) })
	if retried(stepLeaveNone) == retried(stepLeaveStop) {
		return errors.New("neither the rule for none nor the one for agent_stop decided")
	}
	either(p, "disconnect-reason", retried(stepLeaveStop), assumptions.DisconnectReasonAgentStop, assumptions.DisconnectReasonNone, "the rule for it made a retry")
	return nil
}

// askLost lets an agent fall silent with a job that runs.
func (p *prober) askLost(ctx context.Context) error {
	g, err := p.silent(ctx, stepStarLost)
	if err != nil {
		return err
	}
	other, err := p.silent(ctx, stepStarLost+auto)
	if err != nil {
		return err
	}
	began := time.Now()
	over := func() bool { return p.jobs.get(g.id).state.Over() && p.jobs.get(other.id).state.Over() }
	if !p.until(ctx, lostWithin, over) {
		return errors.New("the silent agents' jobs are " + string(p.jobs.get(g.id).state) + " and " + string(p.jobs.get(other.id).state) + " after " + since(began).String())
	}
	p.released(g)
	p.released(other)
	after := since(began)
	got, err := g.s.beat(ctx)
	if err != nil {
		return err
	}
	token, err := g.state(ctx, g.Token)
	if err != nil {
		return err
	}
	judged(p, "lost-agent", got, assumptions.LostAgentRevives, assumptions.LostAgentRefused, fmt.Sprintf("lost after %s; GET jobs/:id with its job's token: %s; a heartbeat", after, token))
	retried, err := p.bothRetried(ctx, stepStarLost)
	if err != nil {
		return err
	}
	either(p, "star-lost-agent", retried, assumptions.StarLostAgentMatches, assumptions.StarLostAgentSpares, "retried: %t", retried)
	return nil
}

// silent starts a step's job with an agent that sends no heartbeats.
func (p *prober) silent(ctx context.Context, name string) (*grant, error) {
	s, err := p.agent(ctx, false)
	if err != nil {
		return nil, err
	}
	g, err := s.take(ctx, name)
	if err != nil {
		return nil, err
	}
	return g, g.run(ctx)
}
