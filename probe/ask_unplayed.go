package probe

import (
	"context"
	"net/http"
	"time"
)

// askUnplayed makes the calls that no profile has an answer for, because none of onejob's
// depends on it (assumptions.Unplayed). The report says what Buildkite answered.
func (p *prober) askUnplayed(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	p.noted("ping-interval", "%d s", s.Ping)
	g, err := s.take(ctx, stepMore)
	if err != nil {
		return err
	}
	if err := g.run(ctx); err != nil {
		return err
	}
	second, err := p.jobOf(stepSecond)
	if err != nil {
		return err
	}
	also, got, err := s.acquire(ctx, second)
	if err != nil {
		return err
	}
	p.noted("agent-with-job", "acquire: %s", got)
	if err := p.done(ctx, also); err != nil {
		return err
	}
	if err := p.askChunks(ctx, g); err != nil {
		return err
	}
	if got, err = s.disconnect(ctx); err != nil {
		return err
	} else if !got.ok() {
		return refused("disconnect", got)
	}
	if got, err = s.beat(ctx); err != nil {
		return err
	}
	p.noted("disconnected-agent", "a heartbeat: %s", got)
	_, err = s.disconnect(ctx) // the heartbeat may have brought it back
	return err
}

// askChunks sends other bytes with a number that was used, finishes the job, and sends one
// chunk more.
func (p *prober) askChunks(ctx context.Context, g *grant) error {
	if got, err := g.chunk(ctx, 1, 0, "some bytes\n"); err != nil {
		return err
	} else if !got.ok() {
		return refused("a chunk", got)
	}
	got, err := g.chunk(ctx, 1, 0, "else bytes\n")
	if err != nil {
		return err
	}
	p.noted("other-bytes", "a chunk with a number that was used: %s", got)
	if got, err = g.finish(ctx, "0", "", 1); err != nil {
		return err
	} else if !got.ok() {
		return refused("finish", got)
	}
	if got, err = g.chunk(ctx, 2, 11, "too late\n"); err != nil {
		return err
	}
	p.noted("ended-job-chunk", "a chunk after finish: %s", got)
	return nil
}

// askLateStart starts a job that was taken back and is offered again. Only an agent with the
// run's own tag can have it by now.
func (p *prober) askLateStart(ctx context.Context, g *grant) error {
	got, err := g.start(ctx)
	if err != nil {
		return err
	}
	p.noted("late-start", "start: %s", got)
	if got.ok() {
		_, err = g.finish(ctx, "0", "", 0)
	}
	return err
}

// askStop stops an agent whose job runs, without a disconnect.
func (p *prober) askStop(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	g, err := s.take(ctx, stepStopped)
	if err != nil {
		return err
	}
	if err := g.run(ctx); err != nil {
		return err
	}
	p.until(ctx, soon, func() bool { return p.jobs.get(g.id).state.Held() })
	got, err := s.send(ctx, request{method: http.MethodPost, path: "stop", body: map[string]any{"force": false}, again: true})
	if err != nil {
		return err
	}
	began := time.Now()
	over := p.until(ctx, soon, func() bool { return p.jobs.get(g.id).state.Over() })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.noted("stop", "stop: %s; the job is %s after %s", got, p.jobs.get(g.id).state, since(began))
	if over {
		p.released(g)
		return nil
	}
	_, err = g.finish(ctx, "0", "", 0)
	return err
}
