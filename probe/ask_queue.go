package probe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
)

// isPaused asks Buildkite whether the probe's queue is paused.
func (p *prober) isPaused(ctx context.Context) (bool, error) {
	got, err := p.call(ctx, request{method: http.MethodGet, path: "stacks/" + p.stack + "/scheduled-jobs?limit=1&queue_key=" + p.Queue, again: true})
	if err != nil {
		return false, err
	}
	if !got.ok() {
		return false, refused("listing", got)
	}
	var reply struct {
		Queue struct {
			Paused bool `json:"dispatch_paused"`
		} `json:"cluster_queue"`
	}
	err = json.Unmarshal(got.body, &reply)
	return reply.Queue.Paused, err
}

// askShort reserves a job for less than a minute.
func (p *prober) askShort(ctx context.Context) error {
	const asked = 20 * time.Second
	id, err := p.jobOf(stepShort)
	if err != nil {
		return err
	}
	_, shorter, err := p.reserve(ctx, p.stack, 1, id)
	if err != nil {
		return err
	}
	_, got, err := p.reserve(ctx, p.stack, int(asked/time.Second), id)
	if err != nil {
		return err
	}
	if !got.ok() {
		_, longer, err := p.reserve(ctx, p.stack, 60, id)
		if err != nil {
			return err
		}
		found(p, "short-reservation", assumptions.ShortReservationRefused, "reserving for 1 s: %s; for %s: %s; for a minute: %s", shorter, asked, got, longer)
		return nil
	}
	lasted, err := p.lapses(ctx, id, 4*time.Minute)
	if err != nil {
		return err
	}
	// The list may be seconds late, and a reservation that is raised lasts a minute.
	either(p, "short-reservation", lasted < 2*asked, assumptions.ShortReservationTaken, assumptions.ShortReservationRaised, "reserved for %s, it was offered again after %s; reserving for 1 s: %s", asked, lasted, shorter)
	return nil
}

// lapses waits, at most within, until a job that was just reserved is offered again, and
// returns how long that took.
func (p *prober) lapses(ctx context.Context, id contract.JobID, within time.Duration) (time.Duration, error) {
	began := time.Now()
	state := func() contract.JobState { return p.jobs.get(id).state }
	if !p.until(ctx, soon, func() bool { return state() == contract.JobReserved }) {
		return 0, errors.New("the job is " + string(state()) + ", though it was reserved")
	}
	if !p.until(ctx, within, func() bool { return state() != contract.JobReserved }) {
		return 0, errors.New("still reserved after " + since(began).String())
	}
	if state() != contract.JobScheduled {
		return 0, errors.New("the job is " + string(state()) + " after its reservation")
	}
	return since(began), nil
}

// askRenewal renews a reservation for less time than it has left. Both times are over a
// minute, in case Buildkite refuses shorter ones.
func (p *prober) askRenewal(ctx context.Context) error {
	const first, second = 200, 75
	id, err := p.jobOf(stepRenew)
	if err != nil {
		return err
	}
	for _, seconds := range []int{first, second} {
		reserved, got, err := p.reserve(ctx, p.stack, seconds, id)
		if err != nil {
			return err
		}
		if len(reserved) != 1 {
			return refused("reserving", got)
		}
	}
	lasted, err := p.lapses(ctx, id, (first+60)*time.Second)
	if err != nil {
		return err
	}
	either(p, "shorter-renewal", lasted < (first+second)/2*time.Second, assumptions.ShorterRenewalShortens, assumptions.ShorterRenewalIgnored,
		"reserved for %d s, then for %d s, it was offered again after %s", first, second, lasted)
	return nil
}

// askRules reads the agent_query_rules in the list.
func (p *prober) askRules(context.Context) error {
	if all := p.jobs.named(stepAnyValue); len(all) > 0 {
		rules := strings.Join(all[0].rules, " ")
		switch {
		case slices.Contains(all[0].rules, "onejob-any="):
			found(p, "any-value-rule", assumptions.AnyValueRuleAsWritten, "%s", rules)
		case slices.Contains(all[0].rules, "onejob-any=*"):
			found(p, "any-value-rule", assumptions.AnyValueRuleStar, "%s", rules)
		default:
			found(p, "any-value-rule", "", "the rules are %s", rules)
		}
	}
	if !p.DefaultQueue {
		return errors.New("a step without a queue goes to the cluster's default queue: to answer this, make a cluster whose default queue is for the probe alone, and give --default-queue")
	}
	if all := p.jobs.named(stepNoQueue); len(all) > 0 {
		named := slices.ContainsFunc(all[0].rules, func(r string) bool { return strings.HasPrefix(r, "queue=") })
		either(p, "default-queue-rule", named, assumptions.DefaultQueueRuleNamed, assumptions.DefaultQueueRuleAbsent, "the rules are %s", strings.Join(all[0].rules, " "))
		return nil
	}
	return errors.New("the step has no job")
}

func (p *prober) askStarFinish(ctx context.Context) error {
	for _, name := range []string{stepStarFinish, stepStarFinish + auto} {
		id, err := p.jobOf(name)
		if err != nil {
			return err
		}
		if err := p.fail(ctx, id); err != nil {
			return err
		}
	}
	retried, err := p.bothRetried(ctx, stepStarFinish)
	if err != nil {
		return err
	}
	either(p, "star-stack-finish", retried, assumptions.StarStackFinishMatches, assumptions.StarStackFinishSpares, "retried: %t", retried)
	return nil
}

// bothRetried reports whether Buildkite retries a failed job by exit_status "*" and by
// automatic: true. It is an error if one of them retries and the other doesn't.
func (p *prober) bothRetried(ctx context.Context, name string) (bool, error) {
	auto := name + auto
	both := func() bool { return len(p.jobs.named(name)) > 1 && len(p.jobs.named(auto)) > 1 }
	retried := p.until(ctx, retriedWithin, both)
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if star := len(p.jobs.named(name)) > 1; !retried && star != (len(p.jobs.named(auto)) > 1) {
		return false, fmt.Errorf("exit_status \"*\" retries it: %t; automatic: true retries it: %t", star, !star)
	}
	return retried, nil
}

// askExhausted uses up the limit of a retry rule whose successor matches, too.
func (p *prober) askExhausted(ctx context.Context) error {
	for n := range 2 {
		all := p.jobs.named(stepRules)
		if len(all) <= n {
			return errors.New("the step has no job to end")
		}
		if err := p.fail(ctx, all[n].id); err != nil {
			return err
		}
		retried := p.another(ctx, stepRules, n+2, retriedWithin)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case n == 0 && !retried:
			return errors.New("the first rule made no retry")
		case n == 1:
			either(p, "exhausted-rule", retried, assumptions.ExhaustedRulePasses, assumptions.ExhaustedRuleStops, "retried by the second rule: %t", retried)
		}
	}
	return nil
}
