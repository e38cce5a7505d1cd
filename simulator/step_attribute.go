package simulator

import (
	"errors"
	"fmt"
	"maps"

	"github.com/buildkite/go-pipeline"
)

// attribute reads the value of one attribute into a plan.
type attribute func(p *parser, one *plan, value any) error

// accepted ignores an attribute that changes nothing.
func accepted(*parser, *plan, any) error { return nil }

// ineffective ignores an attribute that the Simulator doesn't support, with a warning.
func ineffective(name string) attribute {
	return func(p *parser, _ *plan, _ any) error {
		p.warn("the step attribute `%s` has no effect", name)
		return nil
	}
}

// anyStep has the attributes that every step can have.
var anyStep = map[string]attribute{
	"type":                     accepted,
	"label":                    takeLabel,
	"name":                     takeLabel,
	"key":                      takeKey,
	"id":                       takeKey,
	"identifier":               takeKey,
	"if":                       takeIf,
	"branches":                 takeBranches,
	"depends_on":               takeDependsOn,
	"allow_dependency_failure": takeAllowFailure,
	"skip":                     takeSkip,
	"notify":                   takeNotify,
}

var waitAttributes = with(anyStep, map[string]attribute{
	"wait": accepted, "waiter": accepted,
	"continue_on_failure": func(_ *parser, one *plan, value any) (err error) {
		one.continueOnFailure, err = parseSwitch("continue_on_failure", value)
		return err
	},
})

// with merges two maps into a new one; more wins.
func with(base, more map[string]attribute) map[string]attribute {
	all := maps.Clone(base)
	maps.Copy(all, more)
	return all
}

// saysByItself holds the attributes that say something without a value: of nothing a
// step may depend, and a trigger needs its pipeline.
var saysByItself = map[string]bool{"depends_on": true, "trigger": true}

// attributes reads all attributes of a step into one, and returns every fault.
func (p *parser) attributes(one *plan, known map[string]attribute, contents map[string]any) []error {
	var errs []error
	for _, name := range sortedNames(contents) {
		take, valid := known[name]
		if !valid {
			errs = append(errs, notValid(name, fmt.Sprintf("the `%s` step", one.kind), sortedNames(known)))
			continue
		}
		value := plain(contents[name])
		if value == nil && !saysByItself[name] {
			continue // as a template leaves it: as if it weren't there
		}
		if err := take(p, one, value); err != nil {
			errs = append(errs, err)
		}
	}
	if contents["if"] != nil && contents["branches"] != nil {
		errs = append(errs, errors.New("`if` and `branches` can't be used on the same step"))
	}
	if isUUID(one.key) {
		errs = append(errs, fmt.Errorf("key %q looks like a UUID", one.key))
	}
	return errs
}

func takeLabel(_ *parser, one *plan, value any) error {
	if value != nil {
		one.label = fmt.Sprint(value)
	}
	return nil
}

func takeKey(_ *parser, one *plan, value any) error {
	if value != nil {
		one.key = fmt.Sprint(value)
	}
	return nil
}

func takeIf(p *parser, one *plan, value any) error {
	why, err := p.condition(value)
	if why != "" {
		one.excluded = why
	}
	return err
}

func takeBranches(p *parser, one *plan, value any) error {
	why, err := p.branches(value)
	if why != "" {
		one.excluded = why
	}
	return err
}

func takeIfChanged(p *parser, one *plan, value any) error {
	if p.unchanged(value) {
		one.skipped, one.skip = true, "if_changed matched no unexcluded changed files in this build"
	}
	return nil
}

// takeDependsOn reads depends_on. It relies on the sorted order of attributes, in which
// allow_dependency_failure comes first.
func takeDependsOn(_ *parser, one *plan, value any) (err error) {
	allowed := one.dependsOn != nil
	one.explicit = true
	one.dependsOn, err = parseDependsOn(value)
	if allowed {
		allowFailures(one.dependsOn)
	}
	return err
}

func takeAllowFailure(_ *parser, one *plan, value any) error {
	allow, err := parseSwitch("allow_dependency_failure", value)
	if allow {
		one.dependsOn = []dependency{}
	}
	return err
}

func takeSkip(_ *parser, one *plan, value any) error {
	skipped, reason, err := parseSkip(value)
	if skipped {
		one.skipped, one.skip = true, reason
	}
	return err
}

func takeNotify(p *parser, _ *plan, _ any) error {
	p.warn("notify: nobody is notified")
	return nil
}

// groupStep replaces a group by its steps. If the group is left out, so are its steps.
func (p *parser) groupStep(step *pipeline.GroupStep) ([]plan, []error) {
	head := plan{kind: "group", key: step.Key}
	if step.Group != nil {
		head.label = *step.Group
	}
	known := with(anyStep, map[string]attribute{"if_changed": takeIfChanged})
	delete(known, "branches")
	var errs []error
	for _, name := range sortedNames(step.RemainingFields) {
		if known[name] == nil {
			errs = append(errs, notValid(name, "a step group", sortedNames(known)))
			delete(step.RemainingFields, name)
		}
	}
	errs = append(errs, p.attributes(&head, known, step.RemainingFields)...)
	if len(step.Steps) == 0 {
		errs = append(errs, errors.New("The `steps` property is required for a group")) //nolint:staticcheck // Buildkite's words
	}
	g := &group{key: head.key, label: head.label, explicit: head.explicit, dependsOn: head.dependsOn}
	plans := p.steps(step.Steps, g)
	for i := range plans {
		if head.omitted() {
			plans[i].excluded, plans[i].skipped, plans[i].skip = head.excluded, head.skipped, head.skip
		}
	}
	return plans, errs
}
