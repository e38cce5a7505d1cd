package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// retryPolicy is a step's retry attribute.
type retryPolicy struct {
	automatic    []retryRule
	manualDenied bool
	deniedReason string
	notOnPassed  bool
}

// retryRule is one automatic rule, all of whose conditions must hold. A nil list means "*".
type retryRule struct {
	exitStatus   []int
	signal       []string
	signalReason []string
	limit        int
}

const defaultRetryLimit = 2

// matches reports whether a rule matches a result. "*" as the exit status matches any
// failure; with sparesLost it doesn't match -1. The documents contradict each other: they
// say 1 to 255, and warn that such a rule also retries the -1 of a stack's finish.
func (r retryRule) matches(res result, sparesLost bool) bool {
	code, err := strconv.Atoi(res.exitStatus)
	if r.exitStatus == nil && code < 0 && sparesLost {
		return false
	}
	if err != nil || r.exitStatus == nil && code == 0 || r.exitStatus != nil && !slices.Contains(r.exitStatus, code) {
		return false
	}
	return among(r.signal, signalName(res.signal)) && among(r.signalReason, res.signalReason)
}

func among(want []string, have string) bool {
	if want == nil {
		return true
	}
	if have == "" {
		have = "none"
	}
	return slices.ContainsFunc(want, func(w string) bool { return strings.EqualFold(w, have) })
}

func signalName(s string) string { return strings.TrimPrefix(strings.ToUpper(s), "SIG") }

// starSpares reports whether "*" doesn't match the job's -1, by the Profile.
func (s *Simulator) starSpares(j *job) bool {
	if j.stackFinish != nil {
		return s.conf.Profile.StarStackFinish == assumptions.StarStackFinishSpares
	}
	return s.conf.Profile.StarLostAgent == assumptions.StarLostAgentSpares
}

// retryAutomatically makes a new job if a rule matches, and reports whether it did. The first
// rule that matches counts; Profile.ExhaustedRule says whether a rule that has spent its limit
// lets the next one count. Canceled jobs, and jobs of canceled builds, are never retried.
func (s *Simulator) retryAutomatically(j *job, now time.Time) bool {
	if j.state != StateFinished && j.state != StateTimedOut || j.build.canceled {
		return false
	}
	for i, rule := range j.node.retry.automatic {
		if !rule.matches(j.result, s.starSpares(j)) {
			continue
		}
		if j.ruleRetries[i] >= rule.limit {
			if rule.limit > 0 && s.conf.Profile.ExhaustedRule == assumptions.ExhaustedRulePasses {
				continue
			}
			return false
		}
		next := s.retryJob(j, "automatic", now)
		next.ruleRetries = maps.Clone(j.ruleRetries)
		if next.ruleRetries == nil {
			next.ruleRetries = map[int]int{}
		}
		next.ruleRetries[i]++
		return true
	}
	return false
}

func (s *Simulator) retryJob(j *job, how string, now time.Time) *job {
	next := s.newJob(j.node, j.slot, now)
	next.retries, next.retryType, next.retryOf = j.retries+1, how, j
	next.priority = j.priority
	next.enteredAt, next.number = j.enteredAt, j.number // it keeps its place in a concurrency group
	j.retriedBy = next
	s.offer(next, now, cause{event: how + " retry", detail: "of " + j.id})
	return next
}

// Retry retries a job that has ended, as a person does, and returns the new job.
func (s *Simulator) Retry(id string) (Job, error) {
	var snapshot Job
	err := s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		switch {
		case j == nil:
			return notFound("job", id)
		case j.retriedBy != nil:
			return fmt.Errorf("job %s was retried by %s already", id, j.retriedBy.id)
		case !j.state.Terminal() || j.state == StateWaitingFailed || j.state == StateSkipped || j.state == StateBroken:
			return fmt.Errorf("job %s is %s: only a job that has ended can be retried", id, j.state)
		case j.build.canceled:
			return fmt.Errorf("build %d was canceled", j.build.number)
		case j.node.retry.manualDenied:
			return fmt.Errorf("the step forbids manual retries: %s", j.node.retry.deniedReason)
		case j.node.retry.notOnPassed && j.passed():
			return errors.New("the step forbids to retry a job that passed")
		}
		s.reopen(j.node, nodeOpen, now)
		j.build.failing = false
		snapshot = s.retryJob(j, "manual", now).snapshot()
		s.relink(j.build, now)
		return nil
	})
	return snapshot, err
}

// offeredAgain is the only event that may follow a finished job's end.
const offeredAgain = "offered again"

// OfferAgain schedules a finished job again under its old ID, as if Buildkite had forgotten
// the end. The next acquire is then a violation (AcquiredTwice).
func (s *Simulator) OfferAgain(id string) error {
	return s.lockedWrite(func(now time.Time) error {
		j := s.jobs[id]
		switch {
		case j == nil:
			return notFound("job", id)
		case j.state != StateFinished || j.retriedBy != nil:
			return fmt.Errorf("job %s is %s, or was retried: only one that is finished can be offered again", id, j.state)
		}
		s.reopen(j.node, nodeOpen, now)
		s.setState(j, StateScheduled, now, cause{event: offeredAgain})
		return nil
	})
}

func parseRetry(value any) (retryPolicy, error) {
	m, isMap := value.(map[string]any)
	if !isMap {
		return retryPolicy{}, fmt.Errorf("retry is %v: want automatic or manual", value)
	}
	var p retryPolicy
	var err error
	for name, value := range m {
		switch name {
		case "automatic":
			p.automatic, err = parseAutomatic(value)
		case "manual":
			err = p.parseManual(value)
		default:
			err = notValid(name, "the `retry` configuration", []string{"automatic", "manual"})
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

func parseAutomatic(value any) ([]retryRule, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case bool, string:
		on, err := parseSwitch("retry.automatic", v)
		if on {
			return []retryRule{{limit: defaultRetryLimit}}, err
		}
		return nil, err
	case map[string]any:
		rule, err := parseRule(v)
		return []retryRule{rule}, err
	case []any:
		var rules []retryRule
		for _, item := range v {
			m, isMap := item.(map[string]any)
			if !isMap {
				return nil, fmt.Errorf("retry.automatic holds %v: want rules", item)
			}
			rule, err := parseRule(m)
			if err != nil {
				return nil, err
			}
			rules = append(rules, rule)
		}
		return rules, nil
	}
	return nil, fmt.Errorf("retry.automatic is %v: want true, false, a rule or rules", value)
}

func parseRule(m map[string]any) (retryRule, error) {
	rule := retryRule{limit: defaultRetryLimit}
	var err error
	for name, value := range m {
		switch name {
		case "exit_status":
			rule.exitStatus, err = parseExitStatuses(value)
		case "signal":
			rule.signal, err = parseChoice(name, value)
			for i, signal := range rule.signal {
				rule.signal[i] = signalName(signal)
			}
		case "signal_reason":
			rule.signalReason, err = parseChoice(name, value)
		case "limit":
			rule.limit, err = parseInt(name, value)
			if err == nil && (rule.limit < 0 || rule.limit > 10) {
				err = fmt.Errorf("limit is %d: want 0 to 10", rule.limit)
			}
		default:
			err = notValid(name, "the `automatic` retry configuration", []string{"exit_status", "signal", "signal_reason", "limit"})
		}
		if err != nil {
			return rule, err
		}
	}
	return rule, nil
}

func parseExitStatuses(value any) ([]int, error) {
	if value == "*" {
		return nil, nil
	}
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	codes := []int{}
	for _, item := range list {
		code, err := parseInt("exit_status", item)
		if err != nil {
			return nil, err
		}
		codes = append(codes, code)
	}
	return codes, nil
}

func parseChoice(name string, value any) ([]string, error) {
	choice, err := parseStrings(name, value)
	if err != nil || slices.Contains(choice, "*") {
		return nil, err
	}
	return choice, nil
}

func (p *retryPolicy) parseManual(value any) error {
	switch v := value.(type) {
	case nil:
	case bool, string:
		allowed, err := parseSwitch("retry.manual", v)
		p.manualDenied = !allowed
		return err
	case map[string]any:
		for name, value := range v {
			switch name {
			case "allowed":
				p.manualDenied = value == false || value == "false"
			case "permit_on_passed":
				p.notOnPassed = value == false || value == "false"
			case "reason":
				p.deniedReason = fmt.Sprint(value)
			default:
				return notValid(name, "the `manual` retry configuration", []string{"allowed", "permit_on_passed", "reason"})
			}
		}
	default:
		return fmt.Errorf("retry.manual is %v: want true, false or conditions", value)
	}
	return nil
}
