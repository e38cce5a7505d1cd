package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

// counts are the queue's agents and jobs, from GET metrics.
type counts struct {
	Agents struct {
		Total int `json:"total"`
	} `json:"agents"`
	Jobs struct {
		Scheduled int `json:"scheduled"`
		Running   int `json:"running"`
	} `json:"jobs"`
}

// counts reads the queue's counts. age is how old they may be, a minute at most.
func (p *prober) counts(ctx context.Context) (c counts, age time.Duration, err error) {
	got, err := p.call(ctx, request{method: http.MethodGet, path: "metrics/queue?name=" + p.queueKey, again: true})
	if err != nil {
		return c, 0, err
	}
	if !got.ok() {
		return c, 0, refused("GET metrics", got)
	}
	seconds, err := strconv.Atoi(got.header.Get("Buildkite-Agent-Metrics-Poll-Duration"))
	if err != nil || seconds < 0 {
		seconds = 10
	}
	return c, min(time.Duration(seconds)*time.Second, time.Minute), json.Unmarshal(got.body, &c)
}

// askMetrics reserves some jobs and compares the counts before and after. No other question
// may run at the same time.
func (p *prober) askMetrics(ctx context.Context) error {
	before, age, err := p.counts(ctx)
	if err != nil {
		return err
	}
	var ids []contract.JobID
	for _, name := range []string{stepStarFinish, stepRules, stepDetail} { // they are reserved again
		id, err := p.jobOf(name)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := p.hold(ctx, ids...); err != nil {
		return err
	}
	jitter.Sleep(ctx, age+age/2)
	after, _, err := p.counts(ctx)
	if err != nil {
		return err
	}
	switch before.Jobs.Scheduled - after.Jobs.Scheduled {
	case 0:
		found(p, "metrics-scheduled", assumptions.MetricsScheduledWithReserved, "%d before and after %d jobs were reserved", before.Jobs.Scheduled, len(ids))
	case len(ids):
		found(p, "metrics-scheduled", assumptions.MetricsScheduledWithoutReserved, "%d, and %d when %d jobs were reserved", before.Jobs.Scheduled, after.Jobs.Scheduled, len(ids))
	default:
		return fmt.Errorf("%d jobs were counted, and %d when %d were reserved", before.Jobs.Scheduled, after.Jobs.Scheduled, len(ids))
	}
	return nil
}

func (p *prober) askHeld(ctx context.Context) error {
	s, err := p.agent(ctx, true)
	if err != nil {
		return err
	}
	g, err := s.take(ctx, stepHeld)
	if err != nil {
		return err
	}
	if err := g.run(ctx); err != nil {
		return err
	}
	got, err := p.stackFinish(ctx, p.stack, g.id, -1, detail)
	if err != nil {
		return err
	}
	judged(p, "stack-finish-held", got, assumptions.StackFinishHeldTaken, assumptions.StackFinishHeldRefused, "a stack's finish of a running job")
	if got.ok() {
		p.released(g)
		return nil
	}
	_, err = g.finish(ctx, "0", "", 0)
	return err
}

func (p *prober) askOtherStack(ctx context.Context) error {
	id, err := p.jobOf(stepOther)
	if err != nil {
		return err
	}
	other := p.stack + "-other"
	if _, got, err := p.registerStack(ctx, other, p.Queue); err != nil {
		return err
	} else if !got.ok() {
		return refused("registering a second stack", got)
	}
	reserved, got, err := p.reserve(ctx, other, 120, id)
	if err != nil {
		return err
	}
	if len(reserved) != 1 {
		return refused("reserving with a second stack", got)
	}
	if got, err = p.stackFinish(ctx, p.stack, id, -1, detail); err != nil {
		return err
	}
	judged(p, "stack-finish-other", got, assumptions.StackFinishOtherTaken, assumptions.StackFinishOtherRefused, "a stack's finish of what another one reserved")
	if !got.ok() {
		_, err = p.stackFinish(ctx, other, id, 0, detail)
	}
	return err
}

func (p *prober) askDetail(ctx context.Context) error {
	id, err := p.jobOf(stepDetail)
	if err != nil {
		return err
	}
	if err := p.hold(ctx, id); err != nil {
		return err
	}
	got, err := p.stackFinish(ctx, p.stack, id, 0, strings.Repeat("long detail ", 420)) // 5,040 bytes
	if err != nil {
		return err
	}
	either(p, "long-detail", got.ok(), assumptions.LongDetailCut, assumptions.LongDetailRefused, "a finish with 5,040 bytes of detail: %s", got)
	return nil
}

func (p *prober) askUnknownJob(ctx context.Context) error {
	known, err := p.jobOf(stepAnyValue)
	if err != nil {
		return err
	}
	got, err := p.call(ctx, request{method: http.MethodPost, path: "stacks/" + p.stack + "/jobs/get-states", again: true,
		body: map[string]any{"job_uuids": []contract.JobID{known, contract.SampleJobID}}})
	if err != nil {
		return err
	}
	if !got.ok() {
		found(p, "unknown-job-state", assumptions.UnknownJobStateRefused, "get-states for a job made up: %s", got)
		return nil
	}
	var reply struct {
		States map[string]*string `json:"states"`
	}
	if err := json.Unmarshal(got.body, &reply); err != nil {
		return err
	}
	switch state, there := reply.States[contract.SampleJobID.String()]; {
	case !there:
		found(p, "unknown-job-state", assumptions.UnknownJobStateLeftOut, "a job made up isn't in the answer")
	case state == nil:
		found(p, "unknown-job-state", assumptions.UnknownJobStateNull, "the state of a job made up is null")
	default:
		return errors.New("the state of a job made up is " + *state)
	}
	return nil
}

// askLostStack keeps a stack silent for seven minutes and then lists with it.
func (p *prober) askLostStack(ctx context.Context) error {
	const silent = 7 * time.Minute
	key := p.stack + "-silent"
	if _, got, err := p.registerStack(ctx, key, p.Queue); err != nil {
		return err
	} else if !got.ok() {
		return refused("registering a stack", got)
	}
	if !jitter.Sleep(ctx, silent) {
		return context.Cause(ctx)
	}
	_, got, err := p.list(ctx, key)
	if err != nil {
		return err
	}
	if !got.ok() && got.status != http.StatusNotFound {
		return refused("listing", got)
	}
	either(p, "lost-stack", got.ok(), assumptions.LostStackAnswered, assumptions.LostStackNotFound, "the list after %s of silence: %s", silent, got)
	return nil
}

// askLimit sends one burst on a stack of its own: 36 calls at 20 a second, where Buildkite
// allows ten a second. If refused calls count, every second has ten calls or more, so that
// Buildkite takes no call after the first second.
func (p *prober) askLimit(ctx context.Context) error {
	const every, calls = 50 * time.Millisecond, 36
	key := p.stack + "-limit"
	if _, got, err := p.registerStack(ctx, key, p.Queue); err != nil {
		return err
	} else if !got.ok() {
		return refused("registering a stack", got)
	}
	answers := make([]answer, calls)
	var all sync.WaitGroup
	for n := range calls {
		all.Go(func() {
			answers[n], _ = p.callNow(ctx, request{method: http.MethodGet, path: "stacks/" + key + "/scheduled-jobs?limit=1&queue_key=" + p.Queue})
		})
		if !jitter.Sleep(ctx, every) {
			break
		}
	}
	all.Wait()
	refusals, taken, after := 0, false, ""
	for n, got := range answers {
		switch {
		case got.status == http.StatusTooManyRequests:
			refusals, after = refusals+1, got.header.Get("Retry-After")
		case got.ok() && time.Duration(n)*every > time.Second:
			taken = true
		}
	}
	if refusals == 0 {
		return fmt.Errorf("none of %d calls was refused", calls)
	}
	either(p, "refused-calls", taken, assumptions.RefusedCallsFree, assumptions.RefusedCallsCounted, "%d of %d calls were refused; one after the first second was taken: %t", refusals, calls, taken)
	either(p, "limit-retry-after", after != "", assumptions.LimitRetryAfterSent, assumptions.LimitRetryAfterNone, "Retry-After: %q", after)
	return nil
}

// askStackLimit registers and deregisters stacks, one after the other, until Buildkite
// refuses one or 31 were taken: one more than an organization may have.
func (p *prober) askStackLimit(ctx context.Context) error {
	if !p.SpendStacks {
		return errors.New("this question may use up the organization's stacks: give --spend-stacks to ask it")
	}
	const most = 31
	for n := range most {
		key := fmt.Sprintf("%s-%d", p.stack, n)
		_, got, err := p.registerStack(ctx, key, p.Queue)
		switch {
		case err != nil:
			return err
		case got.status == http.StatusForbidden:
			found(p, "stack-limit", assumptions.StackLimitCreated, "after %d that were deregistered: %s", n, got)
			return nil
		case !got.ok():
			return refused("registering a stack", got)
		}
		if err := p.deregister(ctx, key); err != nil {
			return err
		}
	}
	found(p, "stack-limit", assumptions.StackLimitConnected, "%d were registered and deregistered", most)
	return nil
}
