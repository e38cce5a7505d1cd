package kjob

import "encoding/json"

// A strategic merge keeps the fields of both sides. A volume may have only one source, and
// a variable only one of value and valueFrom: the template's must replace the default's.

// replaceOneOfs removes from the default (base, as JSON) each volume's source and each
// variable's value for which the template (patch) has another.
func replaceOneOfs(base, patch []byte) ([]byte, error) {
	var to, from map[string]any
	if err := json.Unmarshal(base, &to); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(patch, &from); err != nil {
		return nil, err
	}
	defaults, template := podOf(to), podOf(from)
	forSameName(defaults["volumes"], template["volumes"], replaceEntry)
	for _, list := range []string{"initContainers", "containers"} {
		forSameName(defaults[list], template[list], func(c, given map[string]any) {
			forSameName(c["env"], given["env"], replaceEntry)
		})
	}
	return json.Marshal(to)
}

// replaceEntry removes from the default's entry the fields that the template's entry lacks.
// An entry with only a name changes nothing.
func replaceEntry(entry, given map[string]any) {
	if len(given) < 2 {
		return
	}
	for k := range entry {
		if _, ok := given[k]; !ok {
			delete(entry, k)
		}
	}
}

func podOf(job map[string]any) map[string]any {
	spec, _ := job["spec"].(map[string]any)
	template, _ := spec["template"].(map[string]any)
	pod, _ := template["spec"].(map[string]any)
	return pod
}

func forSameName(a, b any, f func(a, b map[string]any)) {
	as, _ := a.([]any)
	bs, _ := b.([]any)
	for _, x := range as {
		for _, y := range bs {
			x, _ := x.(map[string]any)
			y, _ := y.(map[string]any)
			if x != nil && y != nil && x["name"] == y["name"] {
				f(x, y)
			}
		}
	}
}
