package config

import (
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// DecodeStrict is yaml.UnmarshalStrict, but returns every unknown field and not only the
// first. err is any other fault of the document. If err is a wrong type, v still has the
// fields that could be read.
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
	// kjson reads no number as a string, as YAML does: then only the first field is known.
	if unknown, err = kjson.UnmarshalStrict(js, new(T)); err != nil {
		unknown = []error{first}
	}
	return unknown, nil
}
