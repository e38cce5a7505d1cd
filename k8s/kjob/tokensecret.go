package kjob

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// checkTokenSecret refuses a pod that names a Secret with an agent token, this queue's or
// another's, or expands the token's variable. Every job could read the token there. The pod
// must be one to which New hasn't added the token's variable yet.
func checkTokenSecret(s *corev1.PodSpec, tokens []string) error {
	doc, err := json.Marshal(s)
	if err != nil {
		return err
	}
	var errs []error
	if expanded := "$(" + contract.EnvToken + ")"; strings.Contains(string(doc), expanded) {
		errs = append(errs, fmt.Errorf("spec.template.spec: %s would put the agent token into a command line or a variable, where every job could read it: take it out", expanded))
	}
	var root any
	if err := json.Unmarshal(doc, &root); err != nil {
		return err
	}
	for _, path := range secretRefs(root, "spec.template.spec", false) {
		if slices.Contains(tokens, path.name) {
			errs = append(errs, fmt.Errorf("%s: the Secret %s has the agent token in it, and every job could read it: use another Secret; the runner gets the token without it", path.at, path.name))
		}
	}
	return errors.Join(errs...)
}

type secretRef struct{ at, name string }

// secretRefs are a JSON value's references to Secrets. In every kind of volume and variable
// the name of such a field contains "secret": secretKeyRef, secretRef, secret,
// imagePullSecrets, nodePublishSecretRef. The field is the Secret's name, or has it as name
// or secretName.
func secretRefs(v any, at string, inRef bool) (refs []secretRef) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			value := v[k]
			path, name := at+"."+k, ""
			isRef := strings.Contains(strings.ToLower(k), "secret")
			if s, ok := value.(string); ok && (isRef || inRef && k == "name") {
				name = s
			}
			if name != "" {
				refs = append(refs, secretRef{path, name})
			}
			refs = append(refs, secretRefs(value, path, isRef)...)
		}
	case []any:
		for i, value := range v {
			entry, _ := value.(map[string]any)
			name, _ := entry["name"].(string)
			refs = append(refs, secretRefs(value, fmt.Sprintf("%s[%s]", at, cmp.Or(name, fmt.Sprint(i))), inRef)...)
		}
	}
	return refs
}
