package moving

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// Note is what is said of a key of the values.
type Note struct {
	// Key is its place in the values file, such as config.poll-interval.
	Key string
	// Why it is not in the configuration, or is something else there than it was.
	Why string
}

func (n Note) String() string { return n.Key + ": " + n.Why }

// maxValues bounds a values file; those in the field have a few kB.
const maxValues = 1 << 20

// Import makes onejob.yaml of a values file. The notes are sorted.
func Import(values []byte) (onejob []byte, notes []Note, err error) {
	if len(values) > maxValues {
		return nil, nil, fmt.Errorf("the values file has %d bytes, and %d are read at the most", len(values), maxValues)
	}
	var root map[string]any
	if err := yaml.UnmarshalStrict(values, &root); err != nil {
		return nil, nil, fmt.Errorf("reading the values: %w", err)
	}
	if root["config"] == nil {
		return nil, nil, errors.New("reading the values: there is no config: is it the values file of agent-stack-k8s's chart?")
	}
	m := newMover()
	m.walk("", root, rows())
	onejob, err = m.document()
	if err != nil {
		return nil, nil, err
	}
	if _, err := config.Parse(onejob, "default"); err != nil {
		return nil, nil, fmt.Errorf("what the values make is no configuration: %w", err)
	}
	slices.SortFunc(m.notes, func(a, b Note) int { return strings.Compare(a.String(), b.String()) })
	return onejob, m.notes, nil
}

// mover is the configuration as it is made.
type mover struct {
	notes []Note
	// top and queue are of the configuration, job, pod, agent of the queue's template.
	top, queue, job, pod, agent map[string]any
	meta                        map[string]any
	// defaults are the queue's step-defaults.
	defaults map[string]any
	redacted []string
	// classes are the queue's resource classes, defaultClass names that of the others.
	classes      map[string]any
	defaultClass string
}

func newMover() *mover {
	m := &mover{
		top: map[string]any{}, queue: map[string]any{"name": "__default__", "max-in-flight": 25, "steps": "pod"},
		job: map[string]any{}, pod: map[string]any{}, agent: map[string]any{"name": contract.AgentContainer}, meta: map[string]any{}, defaults: map[string]any{}, classes: map[string]any{},
	}
	m.env("BUILDKITE_SHELL", "/bin/sh -ec") // agent-stack-k8s's default; the agent's own is bash
	return m
}

func (m *mover) note(key, why string) { m.notes = append(m.notes, Note{key, why}) }

// row is what becomes of a key. A key that has rows below it is gone through; others,
// such as a PodSpec, are the row's own affair.
type row func(m *mover, key string, value any)

func (m *mover) walk(at string, values map[string]any, rows map[string]row) {
	for _, k := range slices.Sorted(maps.Keys(values)) {
		key := strings.TrimPrefix(at+"."+k, ".")
		shown := contract.Line(key, 100)
		below, isMap := values[k].(map[string]any)
		switch do := rows[key]; {
		case values[k] == nil:
		case do != nil:
			do(m, shown, values[k])
		case isMap && hasBelow(rows, key):
			m.walk(key, below, rows)
		default:
			m.note(shown, "agent-stack-k8s 0.47 has no such key")
		}
	}
}

func hasBelow(rows map[string]row, key string) bool {
	for k := range rows {
		if strings.HasPrefix(k, key+".") {
			return true
		}
	}
	return false
}

// document is the configuration as YAML.
func (m *mover) document() ([]byte, error) {
	if len(m.redacted) > 0 {
		m.env("BUILDKITE_REDACTED_VARS", strings.Join(append(slices.Clone(redactedByDefault), m.redacted...), ","))
	}
	m.setDefaultClass()
	m.pod["containers"] = []any{m.agent}
	template, spec := map[string]any{"spec": m.pod}, maps.Clone(m.job)
	spec["template"] = template
	job := map[string]any{"apiVersion": "batch/v1", "kind": "Job", "spec": spec}
	if len(m.meta) > 0 { // Kueue, for one, reads the Job's
		template["metadata"], job["metadata"] = m.meta, m.meta
	}
	m.queue["template"] = map[string]any{"inline": job}
	if len(m.defaults) > 0 {
		m.queue[steps.SettingName] = m.defaults
	}
	m.top["queues"] = []any{m.queue}
	return yaml.Marshal(m.top)
}

// redactedByDefault is the agent's own list, which BUILDKITE_REDACTED_VARS replaces.
var redactedByDefault = []string{"*_PASSWORD", "*_SECRET", "*_TOKEN", "*_PRIVATE_KEY", "*_SSH_KEY", "*_ACCESS_KEY", "*_SECRET_KEY", "*_CONNECTION_STRING", "*_API_KEY"}

// env sets a variable of the runner's container, in the place of one of the same name.
func (m *mover) env(name string, value any) {
	m.addNamed(m.agent, "env", map[string]any{"name": name, "value": text(value)})
}

// addNamed adds to a list an entry with a name, in the place of one of the same name.
func (m *mover) addNamed(to map[string]any, list string, entry map[string]any) {
	has, _ := to[list].([]any)
	has = slices.DeleteFunc(has, func(v any) bool {
		e, _ := v.(map[string]any)
		return e["name"] == entry["name"]
	})
	to[list] = append(has, entry)
}

func (m *mover) add(to map[string]any, list string, entries any) {
	more, _ := entries.([]any)
	if len(more) == 0 {
		return
	}
	has, _ := to[list].([]any)
	to[list] = append(has, more...)
}

// mounted adds a volume, and mounts it in the runner's container.
func (m *mover) mounted(volume any, path string) {
	v, _ := volume.(map[string]any)
	m.addNamed(m.pod, "volumes", v)
	m.add(m.agent, "volumeMounts", []any{map[string]any{"name": v["name"], "mountPath": path}})
}

// text is a value as a variable has it: lists separated by commas, as the agent reads
// them.
func text(value any) string {
	if items, ok := value.([]any); ok {
		words := make([]string, len(items))
		for i, item := range items {
			words[i] = fmt.Sprint(item)
		}
		return strings.Join(words, ",")
	}
	if n, ok := value.(float64); ok && n == float64(int64(n)) {
		return fmt.Sprint(int64(n))
	}
	return fmt.Sprint(value)
}
