package probe

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Finding is the answer to one question after a run.
type Finding struct {
	// Name is the assumption's name.
	Name string `json:"name"`
	// Answer is one of the assumption's sides, empty if it is unknown.
	Answer string `json:"answer,omitempty"`
	// Seen is the observation, or the reason for no answer.
	Seen string `json:"seen"`
}

// found notes the answer to a question, and says it. An empty side means unknown.
func found[S ~string](p *prober, name string, side S, seen string, args ...any) {
	f := Finding{name, string(side), fmt.Sprintf(seen, args...)}
	p.locked(func() { p.findings[name] = f })
	line := f.Name + ": " + f.Answer
	if side == "" {
		line = f.Name + ": unknown"
	}
	p.say(line + " (" + f.Seen + ")")
}

// noted notes what was seen of a question of assumptions.Unplayed, and says it.
func (p *prober) noted(name, seen string, args ...any) {
	f := Finding{Name: name, Seen: fmt.Sprintf(seen, args...)}
	p.locked(func() { p.findings[name] = f })
	p.say(name + ": " + f.Seen)
}

// either is found with the side ifSo or ifNot.
func either[S ~string](p *prober, name string, yes bool, ifSo, ifNot S, seen string, args ...any) {
	side := ifNot
	if yes {
		side = ifSo
	}
	found(p, name, side, seen, args...)
}

// judged is found by the answer to a call: taken for 2xx, refused for a status that refuses.
// Another status, such as 400 or 404, means unknown, because the call itself may be wrong.
func judged[S ~string](p *prober, name string, got answer, taken, refused S, what string) {
	seen := what + ": " + got.String()
	switch got.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusConflict, http.StatusGone, http.StatusUnprocessableEntity, http.StatusLocked:
		found(p, name, refused, "%s", seen)
	default:
		either(p, name, got.ok(), taken, "", "%s", seen)
	}
}

// number is found with the side that stands for n, unknown if none does.
func number[S ~string](p *prober, name string, n uint64, unit string, sides map[uint64]S) {
	if side, ok := sides[n]; ok {
		found(p, name, side, "%d %s", n, unit)
		return
	}
	found(p, name, "", "%d %s, which is none of the known answers", n, unit)
}

// unknown notes why the questions without a finding have no answer.
func (p *prober) unknown(why string, names ...string) {
	for _, name := range names {
		known := false
		p.locked(func() { _, known = p.findings[name] })
		if !known {
			found(p, name, "", "%s", why)
		}
	}
}

// inquiry answers some questions. A question that ask leaves without a finding is unknown,
// with ask's error as the reason.
type inquiry struct {
	names []string
	ask   func(ctx context.Context) error
}

// askAll asks the quick questions one after the other, and at the same time those that take
// minutes.
func (p *prober) askAll(ctx context.Context) {
	// askMetrics counts the queue's jobs, so no other question may change them meanwhile.
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
		p.unknown("the observation fits no known answer", q.names...)
	}
}

func (p *prober) slow() []inquiry {
	return []inquiry{
		{[]string{"unstarted-job", "unstarted-job-token", "late-start"}, p.askUnstarted},
		{[]string{"disconnect-accepted"}, p.askLeaveAccepted},
		{[]string{"disconnect-running", "disconnect-reason"}, p.askLeaveRunning},
		{[]string{"lost-agent", "star-lost-agent"}, p.askLost},
		{[]string{"lost-stack"}, p.askLostStack},
		{[]string{"short-reservation"}, p.askShort},
		{[]string{"shorter-renewal"}, p.askRenewal},
		{[]string{"star-stack-finish"}, p.askStarFinish},
		{[]string{"exhausted-rule"}, p.askExhausted},
		{[]string{"stop"}, p.askStop},
	}
}

func (p *prober) quick() []inquiry {
	return []inquiry{
		{[]string{"job-list", "job-states"}, p.askLag},
		{[]string{"heartbeat-interval", "job-status-interval", "chunk-size", "chunk-interval", "log-limit", "session-reads-job", "acquire-again", "chunk-unstarted",
			"start-again", "log-beyond-limit", "ended-job-token"}, p.askLife},
		{[]string{"acquire-unconnected"}, p.askUnconnected},
		{[]string{"register-unknown-queue"}, p.askUnknownQueue},
		{[]string{"acquire-other-queue"}, p.askOtherQueue},
		{[]string{"start-canceling"}, p.askCanceling},
		{[]string{"locked-states", "locked-retry-after", "acquire-texts"}, p.askLocked},
		{[]string{"stack-finish-held"}, p.askHeld},
		{[]string{"stack-finish-other"}, p.askOtherStack},
		{[]string{"notify-unreserved", "stack-finish-unreserved", "stack-finish-again"}, p.askUnreserved},
		{[]string{"long-detail"}, p.askDetail},
		{[]string{"unknown-job-state"}, p.askUnknownJob},
		{[]string{"any-value-rule", "default-queue-rule"}, p.askRules},
		{[]string{"refused-calls", "limit-retry-after"}, p.askLimit},
		{[]string{"stack-limit"}, p.askStackLimit},
		{[]string{"ping-interval", "agent-with-job", "other-bytes", "ended-job-chunk", "disconnected-agent"}, p.askUnplayed},
	}
}

// another waits, at most within, until a step has this many jobs: its first one and its
// retries. It reports whether the step has them.
func (p *prober) another(ctx context.Context, name string, jobs int, within time.Duration) bool {
	return p.until(ctx, within, func() bool { return len(p.jobs.named(name)) >= jobs })
}
