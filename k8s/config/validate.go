package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// faults collects the errors of one check.
type faults []error

func (f *faults) bad(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

// Validate returns every fault of a completed configuration, joined.
func (c *Config) Validate() error {
	var f faults
	if len(c.Queues) == 0 {
		f.bad("queues: none given")
	}
	if d := time.Duration(*c.IdleInterval); d < MinPoll {
		f.bad("idle-interval: %s is under %s, which is as fast as a busy queue is asked: write that or more, or leave it out for %s", d, MinPoll, DefaultIdleInterval)
	}
	if *c.CreateWorkers < 1 {
		f.bad("create-workers: %d is less than 1, and nothing would be created: write 1 or more, or leave it out for %d", *c.CreateWorkers, DefaultCreateWorkers)
	}
	if n := c.PipelineMetrics; n < 0 || n > MostPipelines {
		f.bad("pipeline-metrics: %d is not between 0 and %d: each pipeline has some seventy series in each queue", n, MostPipelines)
	}
	if err := contract.CheckEndpoint(c.Endpoint); err != nil {
		f.bad("endpoint: %w", err)
	}
	names, keys := map[string]bool{}, map[string]string{}
	for i, q := range c.Queues {
		at := fmt.Sprintf("queues[%d] (%s)", i, q.Name)
		if q.Name == "" {
			f.bad("queues[%d]: no name: write the key of a self-hosted queue of the token's cluster, as Buildkite shows it under Agents, Queues; many organizations have none called default", i)
			continue
		}
		if names[q.Name] {
			f.bad("%s: this name is used twice", at)
		}
		// A stack may serve all queues of its cluster, with one limit of requests.
		if token, used := keys[q.Stack]; used && token != q.TokenFile {
			f.bad("%s: stack: the key %q is used with another token-file: queues of one cluster can share a stack, others can't", at, q.Stack)
		}
		names[q.Name], keys[q.Stack] = true, q.TokenFile
		f.place(at, q)
		f.numbers(at, q)
		f.words(at, q)
		f.classes(at, q)
		f.mirrors(at, q.GitMirrors)
		if q.AgentEndpoint != c.Endpoint {
			if err := contract.CheckEndpoint(q.AgentEndpoint); err != nil {
				f.bad("%s: agent-endpoint: %w", at, err)
			}
		}
	}
	return errors.Join(f...)
}

// place checks where a queue's jobs come from and where they run.
func (f *faults) place(at string, q Queue) {
	if q.Namespace == "" {
		f.bad("%s: namespace: none given, and none is known to run in", at)
	} else if msgs := validation.IsDNS1123Label(q.Namespace); msgs != nil {
		f.bad("%s: namespace: %s", at, msgs[0])
	}
	for _, t := range q.Tags {
		if !validTag(t) {
			f.bad("%s: tags: %q must be key=value, without a comma, and the key must not be queue", at, t)
		}
	}
	if _, err := stacks.New(stacks.Config{Stack: q.Stack, Token: stacks.Token("")}); err != nil {
		f.bad("%s: stack: %w", at, err)
	}
	if n := q.Template.sources(); n > 1 {
		f.bad("%s: template: %d of file, inline, job and pod-template are given, at most one can be", at, n)
	}
}

func validTag(t string) bool {
	key, _, ok := strings.Cut(t, "=")
	switch {
	case !ok, key == "", key == "queue":
		return false
	}
	return !strings.Contains(t, ",")
}

func (f *faults) numbers(at string, q Queue) {
	for name, n := range map[string]int{"max-in-flight": *q.MaxInFlight, "min-agents": q.MinAgents} {
		if n < 0 {
			f.bad("%s: %s: %d is negative", at, name, n)
		}
	}
	if *q.MaxAttempts < 1 {
		f.bad("%s: max-attempts: %d is less than 1, and no job would be run: write 1 for no second attempt, or leave it out for %d", at, *q.MaxAttempts, DefaultMaxAttempts)
	}
	for name, d := range map[string]Duration{"pending-timeout": *q.PendingTimeout, "suspended-timeout": *q.SuspendedTimeout, "image-grace": *q.ImageGrace, "slow-start": *q.SlowStart, "hold": *q.Hold} {
		if d < 0 {
			f.bad("%s: %s: negative", at, name)
		}
	}
}

func (f *faults) words(at string, q Queue) {
	v := reflect.ValueOf(q)
	for of := range v.Type().Fields() {
		words, word := strings.Fields(of.Tag.Get("enum")), v.FieldByIndex(of.Index).String()
		if key, _, _ := strings.Cut(of.Tag.Get("json"), ","); len(words) > 0 && !slices.Contains(words, word) {
			f.bad("%s: %s: %q is neither %s", at, key, word, strings.Join(words, " nor "))
		}
	}
	if q.AgentTracing != "" && contract.CheckEndpoint(q.AgentTracing) != nil {
		f.bad("%s: agent-tracing: it is no base URL of a collector, such as http://otel-collector.monitoring:4318", at)
	}
	if err := q.Policy.Validate(); err != nil {
		f.bad("%s: %w", at, err)
	}
}

func (t TemplateRef) sources() int {
	n := 0
	for _, given := range []bool{t.File != "", len(t.Inline) > 0, t.Job != "", t.PodTemplate != ""} {
		if given {
			n++
		}
	}
	return n
}
