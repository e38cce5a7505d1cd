package simulator

import (
	"errors"
	"fmt"
	"strings"

	"github.com/buildkite/go-pipeline"
	"github.com/buildkite/go-pipeline/ordered"
	"github.com/buildkite/go-pipeline/warning"
)

var commandAttributes = with(anyStep, map[string]attribute{
	"if_changed":              takeIfChanged,
	"agents":                  takeAgents,
	"agent_query_rules":       takeAgents,
	"artifact_paths":          takeArtifacts,
	"artifacts":               takeArtifacts,
	"image":                   takeImage,
	"instance_size":           ineffective("instance_size"),
	"timeout_in_minutes":      takeTimeout,
	"timeout":                 takeTimeout,
	"parallelism":             takeParallelism,
	"priority":                takePriority,
	"soft_fail":               takeSoftFail,
	"retry":                   takeRetry,
	"plugin":                  takePlugin,
	"concurrency":             takeConcurrency,
	"concurrency_group":       takeConcurrencyGroup,
	"concurrency_method":      takeConcurrencyMethod,
	"cancel_on_build_failing": takeCancelOnBuildFailing,
	"async":                   ineffective("async"),
})

func (p *parser) commandStep(one *plan, original *pipeline.CommandStep) []error {
	step := *original
	step.MergeSecretsFromPipeline(p.pipeline.Secrets)
	step.MergeCheckoutFromPipeline(p.pipeline.Checkout)
	one.kind, one.key, one.label = kindCommand, step.Key, step.Label
	one.command = command{step: &step, env: p.def.env, priority: p.def.priority, rules: p.def.agents, image: p.def.image, defaultQueue: p.def.queue}
	errs := p.attributes(one, commandAttributes, step.RemainingFields)
	one.rules, one.queue = queueRule(one.rules, one.defaultQueue)
	if err := one.concurrency.check(); err != nil {
		errs = append(errs, err)
	}
	if one.concurrency != nil && one.concurrency.limit == 0 {
		p.warn("concurrency_group %q without `concurrency` limits nothing", one.concurrency.group)
		one.concurrency = nil
	}
	if step.Cache != nil {
		p.warn("the step attribute `cache` has no effect")
	}
	if err := one.expand(); err != nil {
		errs = append(errs, err)
	}
	return errs
}

func takeAgents(_ *parser, one *plan, value any) (err error) {
	one.rules, err = parseAgents(value)
	return err
}

func takeArtifacts(_ *parser, one *plan, value any) error {
	paths, err := parseStrings("artifact_paths", value)
	one.artifactPaths = strings.Join(paths, ";")
	return err
}

func takeImage(_ *parser, one *plan, value any) (err error) {
	one.image, err = parseImage(value)
	return err
}

func takeTimeout(_ *parser, one *plan, value any) (err error) {
	one.timeout, err = parseMinutes(value)
	return err
}

func takeParallelism(_ *parser, one *plan, value any) (err error) {
	one.parallelism, err = parseParallelism(value)
	return err
}

func parseParallelism(value any) (int, error) {
	n, err := parseInt("parallelism", value)
	if err == nil && (n < 1 || n > 10_000) {
		err = fmt.Errorf("parallelism is %d: want 1 to 10000", n)
	}
	return n, err
}

func takePriority(_ *parser, one *plan, value any) (err error) {
	one.priority, err = parseInt("priority", value)
	return err
}

func takeSoftFail(_ *parser, one *plan, value any) (err error) {
	one.softFail, err = parseSoftFail(value)
	return err
}

func takeRetry(_ *parser, one *plan, value any) (err error) {
	one.retry, err = parseRetry(value)
	return err
}

// takePlugin reads `plugin`, which names one plugin.
func takePlugin(_ *parser, one *plan, value any) error {
	if err := ordered.Unmarshal([]any{value}, &one.step.Plugins); err != nil && !warning.Is(err) {
		return fmt.Errorf("plugin: %w", err)
	}
	return nil
}

func takeConcurrency(_ *parser, one *plan, value any) (err error) {
	one.limited().limit, err = parseInt("concurrency", value)
	if err == nil && one.concurrency.limit < 1 {
		err = fmt.Errorf("concurrency is %d: want 1 or more", one.concurrency.limit)
	}
	return err
}

func takeConcurrencyGroup(_ *parser, one *plan, value any) error {
	one.limited().group = fmt.Sprint(value)
	return nil
}

func takeConcurrencyMethod(_ *parser, one *plan, value any) error {
	one.limited().method = fmt.Sprint(value)
	if value != "ordered" && value != "eager" {
		return fmt.Errorf("concurrency_method is %v: want ordered or eager", value)
	}
	return nil
}

func takeCancelOnBuildFailing(_ *parser, one *plan, value any) (err error) {
	one.cancelOnBuildFailing, err = parseSwitch("cancel_on_build_failing", value)
	return err
}

// variant describes one job of a command step. All variants of a parallel step are the same;
// each variant of a matrix has its values filled in.
type variant struct {
	step     *pipeline.CommandStep
	matrix   pipeline.MatrixPermutation
	rules    []string
	queue    string
	softFail softFail
}

// expand makes the variants of a command step.
func (p *plan) expand() error {
	cells, err := matrixCells(p.step.Matrix)
	switch {
	case err != nil:
		return err
	case len(cells) > 0 && p.parallelism > 0:
		return errors.New("matrix and parallelism exclude each other")
	case p.step.Matrix.IsEmpty():
		one := variant{step: p.step, rules: p.rules, queue: p.queue, softFail: p.softFail}
		for range max(p.parallelism, 1) {
			p.variants = append(p.variants, one)
		}
		return nil
	}
	for _, cell := range cells {
		one := variant{matrix: cell.values, rules: p.rules, queue: p.queue, softFail: p.softFail}
		if one.step, err = fillMatrix(p.step, cell.values); err != nil {
			return err
		}
		if cell.softFail != nil {
			one.softFail = *cell.softFail
		}
		for _, name := range []string{"agents", "agent_query_rules"} {
			agents, has := one.step.RemainingFields[name]
			if !has {
				continue
			}
			rules, err := parseAgents(plain(agents))
			if err != nil {
				return err
			}
			one.rules, one.queue = queueRule(rules, p.defaultQueue)
		}
		p.variants = append(p.variants, one)
	}
	return nil
}

// queueRule finds the queue among the agent query rules. A job that names none gets the
// build's queue. queueRule adds that to the rules, except for the default queue, whose jobs
// may lack the rule (as agent-stack-k8s' client of the agent API says).
func queueRule(rules []string, fallback string) ([]string, string) {
	for _, rule := range rules {
		if key, value, _ := strings.Cut(rule, "="); key == "queue" {
			return rules, queueKey(value)
		}
	}
	queue := queueKey(fallback)
	if queue == defaultQueue {
		return append([]string{}, rules...), queue
	}
	return append([]string{"queue=" + queue}, rules...), queue
}
