package kjob

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
)

// hasVariable reports whether s has a template variable: a {{env.NAME}}, which the job's
// environment fills. trust.go has the rules for where one may stand.
func hasVariable(s string) bool { return strings.Contains(s, "{{env.") }

var (
	templateVariable = regexp.MustCompile(`\{\{env\.([A-Za-z_][A-Za-z0-9_]*)\}\}`)
	envValue         = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@+-]*$`)
)

// variableNames are the variables of the job's environment that fill a string.
func variableNames(s string) (names []string) {
	for _, match := range templateVariable.FindAllStringSubmatch(s, -1) {
		names = append(names, match[1])
	}
	return names
}

// onlyInStrings ends the error about a template variable outside of a string.
const onlyInStrings = "{{env.NAME}} works in strings only, such as an annotation or a node selector's value"

// fill makes a kjob of a template's JSON and the job's environment. A value may have only
// the characters of image names, so that it can't be YAML or lead out of a folder. The
// error is the first fault.
func fill(raw string, env map[string]string) (*batchv1.Job, error) {
	var first error // a job's page has room for one
	doc := changed([]byte(raw), func(at place, s string) any {
		if at.key || !hasVariable(s) {
			return s
		}
		out, err := expandEnv(s, env)
		if err == nil {
			err = checkFilled(at.path, out)
		}
		if first == nil {
			first = err
		}
		return out
	})
	if first != nil {
		return nil, first
	}
	k := &batchv1.Job{}
	if err := json.Unmarshal(doc, k); err != nil {
		return nil, fmt.Errorf("filling the job's environment into the template: %w", err)
	}
	return k, nil
}

// maxEnvValue is what the longest of the fields takes that a variable may fill: a name.
const maxEnvValue = 253

func expandEnv(s string, env map[string]string) (string, error) {
	var err error
	out := templateVariable.ReplaceAllStringFunc(s, func(variable string) string {
		name := templateVariable.FindStringSubmatch(variable)[1]
		v, ok := env[name]
		switch {
		case !ok:
			err = fmt.Errorf("the queue's template needs %s, which is not in the job's environment: set it in the pipeline's env", name)
		case len(v) > maxEnvValue:
			err = fmt.Errorf("the queue's template needs %s from the job's environment, and its value has %d bytes, which is more than %d", name, len(v), maxEnvValue)
		case !envValue.MatchString(v):
			err = fmt.Errorf("the queue's template needs %s from the job's environment, and %q is not made of A-Z a-z 0-9 . _ / : @ + -", name, contract.Line(v, 60))
		}
		return v
	})
	return out, err
}

// checkFilled checks a filled string as a whole, because each of its parts may be harmless.
func checkFilled(path, s string) error {
	switch {
	case slices.Contains(strings.Split(s, "/"), ".."):
		return fmt.Errorf("the job's environment makes %q of the queue's template at %s, and .. as a part of a path is not allowed there", contract.Line(s, 60), path)
	case path == "spec.template.spec.priorityClassName" && strings.HasPrefix(s, "system-"):
		return fmt.Errorf("the job's environment makes %q the pod's priority class, and those that begin with system- are the cluster's own", contract.Line(s, 60))
	}
	return nil
}

// variables are the paths of the strings and keys of a JSON document that have a template
// variable in them.
func variables(doc []byte) (paths []string) {
	changed(doc, func(at place, s string) any {
		if hasVariable(s) {
			paths = append(paths, at.path)
		}
		return s
	})
	return paths
}

// misplaced names every template variable of a Job's JSON that stands where a Job has no
// string, such as a number. It is nil if the Job can't be read for another reason.
func misplaced(doc []byte) error {
	readable := func(one string) bool {
		return nil == yaml.Unmarshal(changed(doc, func(at place, s string) any {
			if hasVariable(s) && at.path != one {
				return nil
			}
			return s
		}), &batchv1.Job{})
	}
	if !readable("") {
		return nil
	}
	var errs []error
	for _, path := range variables(doc) {
		if !readable(path) {
			errs = append(errs, fmt.Errorf("%s: %s", path, onlyInStrings))
		}
	}
	return errors.Join(errs...)
}

// place is the position of a string in a JSON document. path names the position for people;
// kind is the same for all entries of a list. key says that the string is a map's key.
type place struct {
	path, kind string
	key        bool
}

// changed returns a JSON document with each string replaced by what f returns for it. It
// calls f in a fixed order, and for keys, too, which stay. It returns doc if doc is not JSON.
func changed(doc []byte, f func(at place, s string) any) []byte {
	var walk func(v any, at place) any
	walk = func(v any, at place) any {
		switch v := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(v)) {
				in := place{path: strings.TrimPrefix(at.path+"."+k, "."), kind: strings.TrimPrefix(at.kind+"."+k, ".")}
				f(place{in.path, in.kind, true}, k)
				v[k] = walk(v[k], in)
			}
		case []any:
			for i := range v {
				entry, _ := v[i].(map[string]any)
				name, _ := entry["name"].(string)
				v[i] = walk(v[i], place{path: fmt.Sprintf("%s[%s]", at.path, cmp.Or(name, fmt.Sprint(i))), kind: at.kind + "[*]"})
			}
		case string:
			return f(at, v)
		}
		return v
	}
	var root any
	if json.Unmarshal(doc, &root) != nil {
		return doc
	}
	out, err := json.Marshal(walk(root, place{}))
	if err != nil {
		return doc
	}
	return out
}
