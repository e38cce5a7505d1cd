package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/steps"
	"github.com/onejob-dev/onejob/stacks"
)

// defaultQueue is that of a step which names none.
const defaultQueue = "default"

// lintPipeline says of every command step of a pipeline what would become of its pod. It
// needs no cluster and no Buildkite.
func lintPipeline(c *cli.Context, cfg *config.Config, templates map[string]*kjob.Template, path string) error {
	read, err := readPipeline(path)
	if err != nil {
		return usage(err)
	}
	var errs []error
	for _, s := range read {
		faults, notes := lintStep(cfg, templates, s)
		for _, f := range faults {
			errs = append(errs, fmt.Errorf("%s: %s: %s", path, s.name, f))
		}
		for _, n := range notes {
			sayTo(c.App.ErrWriter, fmt.Sprintf("%s: %s: note: %s", path, s.name, n))
		}
	}
	_, _ = fmt.Fprintf(c.App.Writer, "%s: %d command steps, %d faults\n", path, len(read), len(errs))
	return errors.Join(errs...)
}

// lintStep is what is wrong with a step, and what is worth knowing.
func lintStep(cfg *config.Config, templates map[string]*kjob.Template, s pipelineStep) (faults, notes []string) {
	q, ok := queueFor(cfg, s.rules)
	if !ok {
		return nil, []string{"its queue isn't in this configuration, so that nothing is known of its pod"}
	}
	if len(stacks.Missing(s.rules, q.Tags)) > 0 {
		faults = append(faults, config.Unmatched(s.rules, q, cfg.Queues))
	}
	if s.guessed {
		notes = append(notes, "its image or its plugin has variables, which are known when it is uploaded: each is x here")
	}
	t := templates[q.Name]
	if t != nil {
		var err error
		if t, err = t.For(s.rules); err != nil { // it is among its unmatched tags
			return faults, notes
		}
	}
	step, err := steps.Parse(s.env)
	if t == nil || step.Plain() && err == nil {
		return faults, notes
	}
	if err != nil {
		return append(faults, lines(err.Error())...), notes
	}
	faults = append(faults, notOffered(step, t, q)...)
	ownImage := step.Image != "" && step.Image != t.Image() && q.Steps != config.StepsPlain
	if step.Plugin == nil && ownImage {
		if err := t.CheckImage(step.Image); err != nil {
			faults = append(faults, lines(err.Error())...)
		}
	}
	if step.Plugin == nil || q.Steps != config.StepsPod {
		return faults, notes
	}
	pod, err := t.Describe(step, s.env)
	var needs *kjob.NeedsPodTemplate
	if errors.As(err, &needs) {
		return faults, append(notes, err.Error()+": what it has in it, and what the step changes of that, isn't checked here")
	}
	if err != nil {
		return append(faults, lines(err.Error())...), notes
	}
	if !t.NeedsEnv() {
		if _, err := kjob.New(stacks.Job{ID: contract.SampleJobID, Rules: s.rules}, 1, t, s.env); err != nil {
			faults = append(faults, lines(err.Error())...)
		}
	}
	return faults, append(notes, pod.Notes...)
}

// notOffered is what the queue takes of no step: the runner refuses such a step by the
// same rules, once its pod is there.
func notOffered(step steps.Step, t *kjob.Template, q config.Queue) (faults []string) {
	instead := "the queue has steps: " + q.Steps + ", and the job would end with a reason (docs/limits.md)"
	takesImage := q.Steps != config.StepsPlain || strings.Contains(t.Image(), "{{env."+steps.EnvImage+"}}") || step.Image == t.Image()
	if step.Image != "" && !takesImage {
		faults = append(faults, fmt.Sprintf("image: %q: %s", contract.Line(step.Image, 60), instead))
	}
	if step.Plugin != nil && q.Steps != config.StepsPod {
		faults = append(faults, "kubernetes: "+instead)
	}
	return faults
}

// queueFor is the queue that a step's rules name.
func queueFor(cfg *config.Config, rules []string) (config.Queue, bool) {
	name := defaultQueue
	for _, r := range rules {
		if k, v := stacks.SplitTag(r); k == "queue" {
			name = v
		}
	}
	for _, q := range cfg.Queues {
		if q.Name == name {
			return q, true
		}
	}
	return config.Queue{}, false
}

func lines(s string) []string { return strings.Split(s, "\n") }
