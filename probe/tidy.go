package probe

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// tidyPerSecond is the pace at the end: of one call after the other, and for no more than
// two or three calls a job.
const tidyPerSecond = 20

// tidy ends what the run made, also after ctx has ended, and returns what it couldn't.
// A job that ends with 0 isn't retried, and what waits for it comes and is ended too.
func (p *prober) tidy(ctx context.Context) (left []string) {
	within := tidyWithin
	if ctx.Err() != nil {
		within = stopWithin
	}
	p.say("ending the probe's jobs, agents and stacks")
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer done()
	p.api.pace.SetLimit(tidyPerSecond)
	p.tidyJobs(ctx, within*2/3)
	for _, j := range p.open() {
		left = append(left, fmt.Sprintf("job %s (%s, %s): cancel the build %s", j.id, j.name, j.state, j.build))
	}
	for _, s := range copyOf(p, &p.sessions) {
		if got, err := s.disconnect(ctx); err != nil {
			left = append(left, "an agent, which is lost by itself within minutes: "+err.Error())
		} else if !got.ok() && got.status != http.StatusUnauthorized && got.status != http.StatusNotFound {
			left = append(left, "an agent, which is lost by itself within minutes: "+got.String())
		}
	}
	for _, key := range copyOf(p, &p.stacks) {
		if err := p.deregister(ctx, key); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// tidyJobs ends the jobs, and those that come for that.
func (p *prober) tidyJobs(ctx context.Context, within time.Duration) {
	ctx, done := context.WithTimeout(ctx, within)
	defer done()
	for quiet := 0; quiet < 2 && len(p.jobs.all()) > 0; quiet++ {
		_, err := p.look(ctx)
		open := p.open()
		if err != nil || len(open) > 0 || p.awaited() {
			quiet = 0
		}
		p.endJobs(ctx, open)
		if !jitter.Sleep(ctx, lookEvery/2) {
			return
		}
	}
}

func copyOf[T any](p *prober, all *[]T) (out []T) {
	p.locked(func() { out = slices.Clone(*all) })
	return out
}

// awaited: a step's job is to be listed yet, as what it waited for has ended.
func (p *prober) awaited() bool {
	return len(p.jobs.named(stepFirst)) > 0 && (len(p.jobs.named(stepLimited)) == 0 || len(p.jobs.named(stepWaiting)) == 0)
}

// open are the jobs that haven't ended, as far as is known. One that is held and has no
// grant here ends with its agent.
func (p *prober) open() (out []job) {
	for _, j := range p.jobs.all() {
		if !j.state.Over() {
			out = append(out, j)
		}
	}
	return out
}

// endJobs ends jobs, each as what holds it can.
func (p *prober) endJobs(ctx context.Context, open []job) {
	var free []contract.JobID
	for _, j := range open {
		switch {
		case j.state.Offered():
			free = append(free, j.id)
		case j.state.Held():
			p.endHeld(ctx, j.id)
		}
	}
	if len(free) == 0 {
		return
	}
	_, _, _ = p.reserve(ctx, p.stack, 60, free...) // one that is reserved already is finished all the same
	for _, id := range free {
		for _, stack := range copyOf(p, &p.stacks) {
			if got, err := p.stackFinish(ctx, stack, id, 0, detail); err != nil || got.ok() {
				break
			}
		}
	}
}

// endHeld ends a job that an agent of the probe's has: by its token, or with the agent. One
// that was granted in a reply that was lost ends with the agents that have no other.
func (p *prober) endHeld(ctx context.Context, id contract.JobID) {
	busy := map[*session]bool{}
	for _, g := range copyOf(p, &p.grants) {
		busy[g.s] = true
		if g.id != id {
			continue
		}
		status, reason := "-1", "cancel" // not started, and perhaps too late for that
		if p.jobs.get(id).state == contract.JobRunning {
			status, reason = "0", ""
		}
		if got, err := g.finish(ctx, status, reason, 1); err != nil || !got.ok() {
			_, _ = g.s.disconnect(ctx)
		}
		return
	}
	for _, s := range copyOf(p, &p.sessions) {
		if !busy[s] {
			_, _ = s.disconnect(ctx)
		}
	}
}

// since is a time that has gone by, for people.
func since(t time.Time) time.Duration { return time.Since(t).Round(time.Second) }
