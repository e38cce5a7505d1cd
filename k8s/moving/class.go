package moving

import (
	"maps"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

// resourceClasses have the same names and fields in onejob.yaml.
func resourceClasses(m *mover, key string, v any) {
	classes, _ := v.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(classes)) {
		at := key + "." + contract.Line(name, 60)
		doc, err := yaml.Marshal(classes[name])
		switch {
		case !config.IsClassName(name):
			m.note(at, "a class's name has up to 63 of A-Z a-z 0-9 . _ - and begins and ends with a letter or a number: give it another, here and in the pipelines")
		case !isMapping(classes[name]), err != nil, yaml.UnmarshalStrict(doc, &config.Class{}) != nil:
			m.unread(at, classes[name])
		default:
			m.classes[name] = classes[name]
		}
	}
	if len(m.classes) > 0 {
		m.queue["resource-classes"] = m.classes
		m.note(key, "it is in the configuration; mind that what a step's own podSpec says comes before its class here, and after it there")
	}
}

// setDefaultClass names it if there is such a class.
func (m *mover) setDefaultClass() {
	const key = "default-resource-class-name"
	switch _, there := m.classes[m.defaultClass]; {
	case there:
		m.queue[key] = m.defaultClass
	case m.defaultClass != "":
		m.note("config."+key, "resource-classes has no class "+contract.Line(m.defaultClass, 60))
	}
}
