package probe

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Finding is what is known of one question after a run.
type Finding struct {
	// Name is that of the assumption.
	Name string `json:"name"`
	// Answer is one of its sides, empty if it isn't known.
	Answer string `json:"answer,omitempty"`
	// Seen is what was observed, or why there is no answer.
	Seen string `json:"seen"`
}

// found is the answer to a question.
func found[S ~string](p *prober, name string, side S, seen string, args ...any) {
	f := Finding{name, string(side), fmt.Sprintf(seen, args...)}
	p.locked(func() { p.findings[name] = f })
	line := f.Name + ": " + f.Answer
	if side == "" {
		line = f.Name + ": unknown"
	}
	p.say(line + " (" + f.Seen + ")")
}

// either is found for a question that a yes or no answers.
func either[S ~string](p *prober, name string, yes bool, ifSo, ifNot S, seen string, args ...any) {
	side := ifNot
	if yes {
		side = ifSo
	}
	found(p, name, side, seen, args...)
}

// judged is either for a call: taken if it is answered 2xx, and refused if by a status that
// refuses. Another one, such as 400 or 404, may be about how it was asked.
func judged[S ~string](p *prober, name string, got answer, taken, refused S, what string) {
	seen := what + ": " + got.String()
	switch got.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity, http.StatusLocked:
		found(p, name, refused, "%s", seen)
	default:
		either(p, name, got.ok(), taken, "", "%s", seen)
	}
}

// number is found for a number that has to be one of the sides.
func number[S ~string](p *prober, name string, n uint64, unit string, sides map[uint64]S) {
	if side, ok := sides[n]; ok {
		found(p, name, side, "%d %s", n, unit)
		return
	}
	found(p, name, "", "%d %s, which is no answer that is known", n, unit)
}

// unknown leaves questions open that have no answer yet.
func (p *prober) unknown(why string, names ...string) {
	for _, name := range names {
		known := false
		p.locked(func() { _, known = p.findings[name] })
		if !known {
			found(p, name, "", "%s", why)
		}
	}
}

// inquiry answers some questions. What it leaves without a finding is unknown, because of
// its error.
type inquiry struct {
	names []string
	ask   func(ctx context.Context) error
}

// askAll asks the quick ones one after the other, and those that take minutes beside them.
func (p *prober) askAll(ctx context.Context) {
	// It counts the queue's jobs, so that nothing else may change them.
	p.inquire(ctx, inquiry{[]string{"metrics-scheduled"}, p.askMetrics})
	var all sync.WaitGroup
	for _, q := range p.slow() {
		all.Go(func() { p.inquire(ctx, q) })
	}
	for _, q := range p.quick() {
		p.inquire(ctx, q)
	}
	p.say("the rest takes up to seven minutes: an agent and a stack have to be lost first")
	p.inquire(ctx, inquiry{[]string{"acquire-paused"}, p.askPaused})
	all.Wait()
}

func (p *prober) inquire(ctx context.Context, q inquiry) {
	err := q.ask(ctx)
	switch {
	case ctx.Err() != nil:
		p.unknown(context.Cause(ctx).Error(), q.names...)
	case err != nil:
		p.unknown(err.Error(), q.names...)
	default:
		p.unknown("what was seen fits no answer", q.names...)
	}
}

func (p *prober) slow() []inquiry {
	return []inquiry{
		{[]string{"unstarted-job", "unstarted-job-token"}, p.askUnstarted},
		{[]string{"disconnect-accepted"}, p.askLeaveAccepted},
		{[]string{"disconnect-running", "disconnect-reason"}, p.askLeaveRunning},
		{[]string{"lost-agent", "star-lost-agent"}, p.askLost},
		{[]string{"lost-stack"}, p.askLostStack},
		{[]string{"short-reservation"}, p.askShort},
		{[]string{"shorter-renewal"}, p.askRenewal},
		{[]string{"star-stack-finish"}, p.askStarFinish},
		{[]string{"exhausted-rule"}, p.askExhausted},
	}
}

func (p *prober) quick() []inquiry {
	return []inquiry{
		{[]string{"job-list", "job-states"}, p.askLag},
		{[]string{"heartbeat-interval", "job-status-interval", "chunk-size", "session-reads-job", "acquire-again", "chunk-unstarted",
			"start-again", "log-beyond-limit", "ended-job-token"}, p.askLife},
		{[]string{"acquire-unconnected"}, p.askUnconnected},
		{[]string{"register-unknown-queue"}, p.askUnknownQueue},
		{[]string{"acquire-other-queue"}, p.askOtherQueue},
		{[]string{"start-canceling"}, p.askCanceling},
		{[]string{"locked-states", "locked-retry-after"}, p.askLocked},
		{[]string{"stack-finish-held"}, p.askHeld},
		{[]string{"stack-finish-other"}, p.askOtherStack},
		{[]string{"stack-finish-unreserved", "stack-finish-again"}, p.askUnreserved},
		{[]string{"long-detail"}, p.askDetail},
		{[]string{"unknown-job-state"}, p.askUnknownJob},
		{[]string{"any-value-rule", "default-queue-rule"}, p.askRules},
		{[]string{"refused-calls", "limit-retry-after"}, p.askLimit},
		{[]string{"stack-limit"}, p.askStackLimit},
	}
}

// another waits for a step to have so many jobs: its first one and its retries.
func (p *prober) another(ctx context.Context, name string, jobs int, within time.Duration) bool {
	return p.until(ctx, within, func() bool { return len(p.jobs.named(name)) >= jobs })
}
