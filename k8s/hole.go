package k8s

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"
)

// A hole is a {{env.NAME}} in a template, which the job's environment fills.
func hasHole(s string) bool { return strings.Contains(s, "{{env.") }

// onlyInStrings is the end of what is said of a hole elsewhere.
const onlyInStrings = "{{env.NAME}} works in strings only, such as an image's name"

// holes are the paths of the strings of a JSON document that have one in them.
func holes(doc []byte) (paths []string) {
	changed(doc, func(path, s string) any {
		if hasHole(s) {
			paths = append(paths, path)
		}
		return s
	})
	return paths
}

// misplaced names every hole of a Job's JSON that stands where no string can;
// nil if the Job can't be read for another reason.
func misplaced(doc []byte) error {
	readable := func(one string) bool {
		return nil == yaml.Unmarshal(changed(doc, func(path, s string) any {
			if hasHole(s) && path != one {
				return nil
			}
			return s
		}), &batchv1.Job{})
	}
	if !readable("") {
		return nil
	}
	var errs []error
	for _, path := range holes(doc) {
		if !readable(path) {
			errs = append(errs, fmt.Errorf("%s: %s", path, onlyInStrings))
		}
	}
	return errors.Join(errs...)
}

// changed is a JSON document with each of its strings, in a fixed order, made
// what f says.
func changed(doc []byte, f func(path, s string) any) []byte {
	var walk func(v any, path string) any
	walk = func(v any, path string) any {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				v[k] = walk(v[k], strings.TrimPrefix(path+"."+k, "."))
			}
		case []any:
			for i := range v {
				entry, _ := v[i].(map[string]any)
				name, _ := entry["name"].(string)
				v[i] = walk(v[i], fmt.Sprintf("%s[%s]", path, cmp.Or(name, fmt.Sprint(i))))
			}
		case string:
			return f(path, v)
		}
		return v
	}
	var root any
	if json.Unmarshal(doc, &root) != nil {
		return doc
	}
	out, err := json.Marshal(walk(root, ""))
	if err != nil {
		return doc
	}
	return out
}
