package probe

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/onejob-dev/onejob/stacks"
)

// markPattern matches a mark, which is part of step keys and of tags.
var markPattern = regexp.MustCompile(`^[a-z0-9]{6,20}$`)

// NewMark is a mark that no other run has.
func NewMark() string {
	b := make([]byte, 5)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}

func keyPrefix(mark string) string { return "onejob-probe-" + mark + "-" }
func ruleOf(mark string) string    { return "onejob-probe=" + mark }

// step is a step of the probe's pipeline: a job for some of the questions.
type step struct {
	name  string
	more  []string // lines of YAML
	rule  string   // one more rule on its agent, if not empty
	queue bool     // the step names the probe's queue
}

// The names of the steps.
const (
	stepUnstarted   = "unstarted"
	stepLeave       = "leave-accepted"
	stepLeaveNone   = "leave-running-none"
	stepLeaveStop   = "leave-running-stop"
	stepLife        = "life"
	stepUnconnected = "unconnected"
	stepOtherQueue  = "other-queue"
	stepPaused      = "paused"
	stepCanceling   = "canceling"
	stepHeld        = "held"
	stepOther       = "other-stack"
	stepPlain       = "unreserved"
	stepDetail      = "long-detail"
	stepShort       = "short-reservation"
	stepRenew       = "shorter-renewal"
	stepLag         = "lag" // and a number
	stepAnyValue    = "any-value"
	stepNoQueue     = "no-queue"
	stepStarLost    = "star-lost"
	stepStarFinish  = "star-finish"
	stepRules       = "rules"
	stepFirst       = "limit-first"
	stepLimited     = "limited"
	stepWaiting     = "waiting"
	stepMore        = "more"
	stepSecond      = "second"
	stepStopped     = "stopped"
	auto            = "-auto" // after stepStarLost and stepStarFinish: the same with automatic: true
)

// lags is how many jobs askLag acquires to see how late the list and the states are.
const lags = 3

// steps are the pipeline's steps. stepLimited and stepWaiting can't run until stepFirst has
// passed.
func (p *prober) steps() []step {
	retry := func(rules ...string) []string {
		return []string{"retry: {automatic: [" + strings.Join(rules, ", ") + "]}"}
	}
	group := []string{"concurrency: 1", "concurrency_group: onejob-probe-" + p.Mark}
	out := []step{
		{name: stepUnstarted, queue: true}, {name: stepLeave, queue: true},
		{name: stepLeaveNone, queue: true, more: retry("{exit_status: -1, signal_reason: none, limit: 1}")},
		{name: stepLeaveStop, queue: true, more: retry("{exit_status: -1, signal_reason: agent_stop, limit: 1}")},
		{name: stepLife, queue: true}, {name: stepUnconnected, queue: true}, {name: stepPaused, queue: true},
		{name: stepOtherQueue, queue: true}, {name: stepCanceling, queue: true}, {name: stepHeld, queue: true},
		{name: stepOther, queue: true}, {name: stepPlain, queue: true}, {name: stepDetail, queue: true},
		{name: stepShort, queue: true}, {name: stepRenew, queue: true},
		{name: stepAnyValue, queue: true, rule: "onejob-any="},
		{name: stepStarLost, queue: true, more: retry(`{exit_status: "*", limit: 1}`)},
		{name: stepStarFinish, queue: true, more: retry(`{exit_status: "*", limit: 1}`)},
		{name: stepStarLost + auto, queue: true, more: []string{"retry: {automatic: true}"}},
		{name: stepStarFinish + auto, queue: true, more: []string{"retry: {automatic: true}"}},
		{name: stepMore, queue: true}, {name: stepSecond, queue: true}, {name: stepStopped, queue: true},
		{name: stepRules, queue: true, more: retry("{exit_status: -1, limit: 1}", "{exit_status: -1, signal_reason: stack_error, limit: 1}")},
		{name: stepFirst, queue: true, more: group}, {name: stepLimited, queue: true, more: group},
		{name: stepWaiting, queue: true, more: []string{"depends_on: " + keyPrefix(p.Mark) + stepFirst}},
	}
	for n := range lags {
		out = append(out, step{name: lagStep(n), queue: true})
	}
	if p.DefaultQueue {
		out = append(out, step{name: stepNoQueue})
	}
	return out
}

func lagStep(n int) string { return fmt.Sprintf("%s-%d", stepLag, n+1) }

// waits reports whether the step's job is listed only after stepFirst's has ended.
func (s step) waits() bool { return s.name == stepLimited || s.name == stepWaiting }

// Pipeline is the pipeline of a run with these options, as YAML, to upload before the run.
// It is an error if o has no Mark.
func Pipeline(o Options) (string, error) {
	if o.Mark == "" {
		return "", errors.New("no mark given: choose one, 6 to 20 small letters and digits, and give it to the run too")
	}
	o.Token = stacks.Token("") // it isn't needed
	p, err := newProber(o)
	if err != nil {
		return "", err
	}
	return p.pipeline(), nil
}

// pipeline is the YAML to upload. No step of it ever runs a command.
func (p *prober) pipeline() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by onejob probe for the queue %s, mark %s. No step runs a command.\nsteps:\n", p.Queue, p.Mark)
	for _, s := range p.steps() {
		rules := []string{ruleOf(p.Mark)}
		if s.queue {
			rules = append([]string{"queue=" + p.Queue}, rules...)
		}
		if s.rule != "" {
			rules = append(rules, s.rule)
		}
		fmt.Fprintf(&b, "- key: %s%s\n  label: onejob probe, %s\n  command: \"true\"\n  agents: [%q", keyPrefix(p.Mark), s.name, s.name, rules[0])
		for _, r := range rules[1:] {
			fmt.Fprintf(&b, ", %q", r)
		}
		b.WriteString("]\n")
		for _, line := range s.more {
			b.WriteString("  " + line + "\n")
		}
	}
	return b.String()
}
