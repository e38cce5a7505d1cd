package kjob

import "encoding/json"

// A strategic merge keeps what both sides have. Of a volume's sources and of a
// variable's value and valueFrom there can be only one: the template's takes the
// place of the default's.

// replaceOneOfs takes from the default, as JSON, what the template gives another
// one-of for.
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

// replaceEntry drops from the default's entry what the template's one doesn't have;
// one that has a name alone changes nothing.
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
