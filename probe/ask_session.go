package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

const (
	// lostWithin is how long the probe waits until Buildkite loses a silent agent: three
	// minutes of silence, up to one until Buildkite looks, and one in reserve.
	lostWithin = 5 * time.Minute
	// keptFor is how long the probe watches a job that it doesn't start.
	keptFor = 7 * time.Minute
	// retriedWithin is how long the probe waits for a retry before it assumes none.
	retriedWithin = time.Minute
	// soon is how long the probe waits to see an immediate change. The list and the states
	// may be seconds old.
	soon = 30 * time.Second
)

// askLife leads one job through an agent's whole life.
func (p *prober) askLife(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	p.askIntervals(s)
	g, err := s.take(ctx, stepLife)
	if err != nil {
		return err
	}
	number(p, "chunk-size", g.ChunkMax, "bytes", map[uint64]assumptions.ChunkSize{100 << 10: assumptions.ChunkSizeSmall, 1 << 20: assumptions.ChunkSizeLarge})
	got, err := g.state(ctx, s.Token)
	if err != nil {
		return err
	}
	judged(p, "session-reads-job", got, assumptions.SessionReadsJobAllowed, assumptions.SessionReadsJobRefused, "GET jobs/:id with the session token")
	again, got, err := s.acquire(ctx, g.id)
	if err != nil {
		return err
	}
	judged(p, "acquire-again", got, assumptions.AcquireAgainGranted, assumptions.AcquireAgainRefused, "a second acquire")
	if again != nil {
		p.released(g)
		g = again
	}
	if got, err = g.chunk(ctx, 1, 0, "a line before the start\n"); err != nil {
		return err
	}
	judged(p, "chunk-unstarted", got, assumptions.ChunkUnstartedTaken, assumptions.ChunkUnstartedRefused, "a chunk before the start")
	return p.askRun(ctx, g)
}

// askIntervals reads the intervals in the reply to register.
func (p *prober) askIntervals(s *session) {
	if s.Heartbeat <= 60 {
		found(p, "heartbeat-interval", assumptions.HeartbeatIntervalShort, "%d s", s.Heartbeat)
	} else {
		number(p, "heartbeat-interval", uint64(s.Heartbeat), "s", map[uint64]assumptions.HeartbeatInterval{120: assumptions.HeartbeatIntervalTwoMinutes})
	}
	if s.JobStatus <= 10 {
		found(p, "job-status-interval", assumptions.JobStatusIntervalShort, "%d s", s.JobStatus)
	} else {
		number(p, "job-status-interval", uint64(s.JobStatus), "s", map[uint64]assumptions.JobStatusInterval{30: assumptions.JobStatusIntervalHalfMinute})
	}
}

// askRun starts a job, finishes it, and then tries the job's token.
func (p *prober) askRun(ctx context.Context, g *grant) error {
	if err := g.run(ctx); err != nil {
		return err
	}
	got, err := g.start(ctx)
	if err != nil {
		return err
	}
	judged(p, "start-again", got, assumptions.StartAgainTaken, assumptions.StartAgainRefused, "the same start again")
	if g.LogMax == 0 {
		found(p, "log-beyond-limit", "", "acquire named no limit")
	} else {
		if got, err = g.chunk(ctx, 2, g.LogMax, "beyond\n"); err != nil {
			return err
		}
		judged(p, "log-beyond-limit", got, assumptions.LogBeyondLimitDropped, assumptions.LogBeyondLimitRefused, fmt.Sprintf("a chunk at %d", g.LogMax))
	}
	if got, err = g.finish(ctx, "0", "", 1); err != nil {
		return err
	} else if !got.ok() {
		return refused("finish", got)
	}
	if got, err = g.state(ctx, g.Token); err != nil {
		return err
	}
	judged(p, "ended-job-token", got, assumptions.EndedJobTokenReadsState, assumptions.EndedJobTokenRefused, "GET jobs/:id after finish")
	return nil
}

// askUnstarted acquires a job and doesn't start it.
func (p *prober) askUnstarted(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	g, err := s.take(ctx, stepUnstarted)
	if err != nil {
		return err
	}
	began := time.Now()
	p.until(ctx, soon/2, func() bool { return p.jobs.get(g.id).state.Held() })
	changed := p.until(ctx, keptFor, func() bool { return !p.jobs.get(g.id).state.Held() })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !changed {
		found(p, "unstarted-job", assumptions.UnstartedJobKept, "still %s after %s", p.jobs.get(g.id).state, since(began))
		return errors.New("the job wasn't taken back")
	}
	state := p.jobs.get(g.id).state
	switch {
	case state.Offered():
		found(p, "unstarted-job", assumptions.UnstartedJobOfferedAgain, "%s after %s", state, since(began))
	case state.Over():
		found(p, "unstarted-job", assumptions.UnstartedJobFinished, "%s after %s", state, since(began))
		fallthrough
	default:
		return errors.New("the job wasn't taken back: it is " + string(state))
	}
	p.released(g)
	got, err := g.state(ctx, g.Token)
	if err != nil {
		return err
	}
	judged(p, "unstarted-job-token", got, assumptions.UnstartedJobTokenReadsState, assumptions.UnstartedJobTokenRefused, "GET jobs/:id with its token")
	return nil
}

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
	s, err := p.agent(ctx, false)
	if err != nil {
		return err
	}
	g, err := s.take(ctx, stepStarLost)
	if err != nil {
		return err
	}
	if err := g.run(ctx); err != nil {
		return err
	}
	began := time.Now()
	if !p.until(ctx, lostWithin, func() bool { return p.jobs.get(g.id).state.Over() }) {
		return errors.New("the silent agent's job is " + string(p.jobs.get(g.id).state) + " after " + since(began).String())
	}
	p.released(g)
	after := since(began)
	got, err := s.beat(ctx)
	if err != nil {
		return err
	}
	judged(p, "lost-agent", got, assumptions.LostAgentRevives, assumptions.LostAgentRefused, fmt.Sprintf("lost after %s; a heartbeat", after))
	retried := p.another(ctx, stepStarLost, 2, retriedWithin)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	either(p, "star-lost-agent", retried, assumptions.StarLostAgentMatches, assumptions.StarLostAgentSpares, "retried: %t", retried)
	return nil
}

// askPaused waits for a person to pause the queue.
func (p *prober) askPaused(ctx context.Context) error {
	if !p.AskPaused {
		return errors.New("a person must pause the queue for this question: give --ask-pause")
	}
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	const within = 3 * time.Minute
	p.say("pause the queue " + p.Queue + " on its page at Buildkite now, and resume it when the probe has ended")
	for end := time.Now().Add(within); ; {
		paused, err := p.isPaused(ctx)
		if err != nil {
			return err
		}
		if paused {
			break
		}
		if time.Now().After(end) || !jitter.Sleep(ctx, lookEvery) {
			return errors.New("the queue wasn't paused within " + within.String())
		}
	}
	id, err := p.jobOf(stepPaused)
	if err != nil {
		return err
	}
	_, got, err := s.acquire(ctx, id)
	if err != nil {
		return err
	}
	if !got.ok() && got.status != http.StatusUnprocessableEntity && got.status != http.StatusLocked {
		return refused("acquire", got)
	}
	judged(p, "acquire-paused", got, assumptions.AcquirePausedGranted, assumptions.AcquirePausedRefused, "acquire")
	return nil
}
