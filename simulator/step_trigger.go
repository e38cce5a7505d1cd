package simulator

import (
	"fmt"

	"github.com/buildkite/go-pipeline"
)

// trigger describes the builds that a trigger step starts.
type trigger struct {
	slug        string
	async       bool
	soft        bool
	parallelism int

	branch, commit, message string
	env, metaData           map[string]string
}

var triggerAttributes = with(anyStep, map[string]attribute{
	"if_changed": takeIfChanged,
	"trigger": func(_ *parser, one *plan, value any) error {
		one.trigger.slug = fmt.Sprint(value)
		if value == nil || one.trigger.slug == "" {
			return fmt.Errorf("trigger is %v: want the slug of a pipeline", value)
		}
		return nil
	},
	"build": takeTriggeredBuild,
	"async": func(_ *parser, one *plan, value any) (err error) {
		one.trigger.async, err = parseSwitch("async", value)
		return err
	},
	"soft_fail": func(_ *parser, one *plan, value any) error {
		soft, err := parseSoftFail(value)
		one.trigger.soft = soft.any || soft.codes != nil
		return err
	},
	"parallelism": func(_ *parser, one *plan, value any) (err error) {
		one.trigger.parallelism, err = parseParallelism(value)
		return err
	},
	"concurrency":        ineffective("concurrency"),
	"concurrency_group":  ineffective("concurrency_group"),
	"concurrency_method": ineffective("concurrency_method"),
})

func (p *parser) triggerStep(one *plan, step *pipeline.TriggerStep) []error {
	one.kind, one.trigger = kindTrigger, &trigger{}
	return p.attributes(one, triggerAttributes, step.Contents)
}

func takeTriggeredBuild(_ *parser, one *plan, value any) error {
	if value == nil {
		return nil
	}
	m, isMap := value.(map[string]any)
	if !isMap {
		return fmt.Errorf("build is %v: want branch, commit, env, message or meta_data", value)
	}
	t := one.trigger
	into := map[string]*string{"branch": &t.branch, "commit": &t.commit, "message": &t.message}
	for _, name := range sortedNames(m) {
		switch {
		case into[name] != nil:
			if m[name] != nil {
				*into[name] = fmt.Sprint(m[name])
			}
		case name == "env":
			t.env = textMap(m[name])
		case name == "meta_data":
			t.metaData = textMap(m[name])
		default:
			return notValid(name, "the `build` of the `trigger` step", []string{"branch", "commit", "env", "message", "meta_data"})
		}
	}
	return nil
}

func textMap(value any) map[string]string {
	m, _ := value.(map[string]any)
	out := map[string]string{}
	for name, value := range m {
		if value == nil {
			value = ""
		}
		out[name] = fmt.Sprint(value)
	}
	return out
}
