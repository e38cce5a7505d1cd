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

// tidyPerSecond is the pace of the cleaning up, which sends one call at a time, and two or
// three for each job.
const tidyPerSecond = 20

// tidy ends the run's jobs, agents and stacks, also after ctx has ended, and returns what it
// couldn't end. It ends jobs with 0: Buildkite doesn't retry those, and lists the jobs that
// waited for them, which tidy then ends, too.
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
	if all := p.jobs.all(); p.DefaultQueue && len(all) > 0 && len(p.jobs.named(stepNoQueue)) == 0 {
		left = append(left, "the job of the step "+stepNoQueue+", which is in another queue, the cluster's default one: cancel the build "+all[0].build)
	}
	for _, s := range copyOf(p, &p.sessions) {
		if got, err := s.disconnect(ctx); err != nil {
			left = append(left, "an agent, which Buildkite loses within minutes: "+err.Error())
		} else if !got.ok() && got.status != http.StatusUnauthorized && got.status != http.StatusNotFound {
			left = append(left, "an agent, which Buildkite loses within minutes: "+got.String())
		}
	}
	for _, key := range copyOf(p, &p.stacks) {
		if err := p.deregister(ctx, key); err != nil {
			left = append(left, err.Error())
		}
	}
	return left
}

// tidyJobs ends the run's jobs, and those that Buildkite lists because others ended.
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

// awaited reports whether a job that waits for stepFirst isn't listed yet.
func (p *prober) awaited() bool {
	return len(p.jobs.named(stepFirst)) > 0 && (len(p.jobs.named(stepLimited)) == 0 || len(p.jobs.named(stepWaiting)) == 0)
}

// open are the jobs that haven't ended, by their last known state.
func (p *prober) open() (out []job) {
	for _, j := range p.jobs.all() {
		if !j.state.Over() {
			out = append(out, j)
		}
	}
	return out
}

// endJobs ends jobs: offered and reserved ones as a stack, held ones by their agent.
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

// endHeld ends a job that an agent of the probe holds: with the job's token, or else by
// disconnecting the agent. If the reply with the grant was lost, it disconnects every agent
// without a job, because one of them holds the job.
func (p *prober) endHeld(ctx context.Context, id contract.JobID) {
	busy := map[*session]bool{}
	for _, g := range copyOf(p, &p.grants) {
		busy[g.s] = true
		if g.id != id {
			continue
		}
		status, reason := "-1", "cancel" // the job isn't started, and a start may be refused
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

// since is the time since t, rounded to seconds for messages.
func since(t time.Time) time.Duration { return time.Since(t).Round(time.Second) }
