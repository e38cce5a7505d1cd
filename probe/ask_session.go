package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
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
	p.askLogging(g)
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

// askLogging reads what the reply to acquire says of the log.
func (p *prober) askLogging(g *grant) {
	number(p, "chunk-size", g.ChunkMax, "bytes", map[uint64]assumptions.ChunkSize{100 << 10: assumptions.ChunkSizeSmall, 1 << 20: assumptions.ChunkSizeLarge})
	if g.ChunkEvery <= 5 {
		found(p, "chunk-interval", assumptions.ChunkIntervalShort, "%d s", g.ChunkEvery)
	} else {
		number(p, "chunk-interval", g.ChunkEvery, "s", map[uint64]assumptions.ChunkInterval{10: assumptions.ChunkIntervalTenSeconds})
	}
	number(p, "log-limit", g.LogMax, "bytes", map[uint64]assumptions.LogLimit{documentedLog: assumptions.LogLimitDocumented, 0: assumptions.LogLimitUnnamed})
}

// documentedLog is the limit of a job's log in Buildkite's documents.
const documentedLog = 1 << 30

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
	limit := cmp.Or(g.LogMax, documentedLog)
	if got, err = g.chunk(ctx, 2, limit, "beyond\n"); err != nil {
		return err
	}
	judged(p, "log-beyond-limit", got, assumptions.LogBeyondLimitDropped, assumptions.LogBeyondLimitRefused, fmt.Sprintf("a chunk at %d", limit))
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
	return p.askLateStart(ctx, g)
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
