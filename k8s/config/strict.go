package config

import (
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// DecodeStrict is yaml.UnmarshalStrict, but names every unknown field and not
// the first alone. err is what else keeps the document from being read; v has
// all that is known, if that is a wrong type, too.
func DecodeStrict[T any](doc []byte, v *T) (unknown []error, err error) {
	first := yaml.UnmarshalStrict(doc, v)
	if first == nil {
		return nil, nil
	}
	js, err := yaml.YAMLToJSONStrict(doc)
	if err != nil {
		return nil, first
	}
	if err := yaml.Unmarshal(doc, new(T)); err != nil {
		if err.Error() != first.Error() {
			unknown = []error{first}
		}
		return unknown, err
	}
	// It takes no number for a string, as YAML does: then there is no list.
	if unknown, err = kjson.UnmarshalStrict(js, new(T)); err != nil {
		unknown = []error{first}
	}
	return unknown, nil
}
