package policy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// defaultVolumes are the kinds that need no part of the node. The policy lists claims and
// Secrets by name besides.
var defaultVolumes = []string{"emptyDir", "configMap", "downwardAPI", "projected", "secret", "persistentVolumeClaim", "image"}

func (c *check) volumes() {
	kinds := c.policy.Volumes
	if kinds == nil {
		kinds = defaultVolumes
		if len(c.policy.Host.Paths) > 0 {
			kinds = append(slices.Clone(kinds), "hostPath")
		}
	}
	for _, v := range c.pod.Volumes {
		at := "volumes[" + shown(v.Name) + "]"
		c.in(at, kindOf(v), "the kind of volume", "volumes", kinds)
		switch s := v.VolumeSource; {
		case s.HostPath != nil:
			c.hostPath(at+".hostPath.path", s.HostPath.Path)
		case s.PersistentVolumeClaim != nil:
			c.in(at+".persistentVolumeClaim.claimName", s.PersistentVolumeClaim.ClaimName, "the claim", "claims", c.policy.Claims)
		case s.Image != nil:
			c.image(at+".image.reference", s.Image.Reference)
		case s.Ephemeral != nil && s.Ephemeral.VolumeClaimTemplate != nil:
			c.newClaim(at+".ephemeral.volumeClaimTemplate.spec.", s.Ephemeral.VolumeClaimTemplate.Spec)
		case s.Projected != nil:
			c.projected(at+".projected.sources.", s.Projected.Sources)
		}
	}
}

// newClaim refuses an ephemeral claim that doesn't begin empty: other contents belong to
// somebody else.
func (c *check) newClaim(at string, s corev1.PersistentVolumeClaimSpec) {
	for field, isSet := range map[string]bool{"dataSource": s.DataSource != nil, "dataSourceRef": s.DataSourceRef != nil, "volumeName": s.VolumeName != "", "selector": s.Selector != nil} {
		if isSet {
			c.bad(at+field, "it would bring what is in another claim or volume", "take it out")
		}
	}
}

// projected refuses sources beside the common four. secrets and account check the names of
// Secrets and service accounts.
func (c *check) projected(at string, sources []corev1.VolumeProjection) {
	for _, source := range sources {
		s := reflect.ValueOf(source)
		for i := range s.NumField() {
			name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
			if !s.Field(i).IsNil() && !slices.Contains([]string{"configMap", "secret", "downwardAPI", "serviceAccountToken"}, name) {
				c.bad(at+name, "a step's volume is made of configMap, secret, downwardAPI and serviceAccountToken only", "take it out, or have the volume put into the queue's template")
			}
		}
	}
}

// kindOf is Kubernetes' name for a volume's source; a volume without a source is an emptyDir.
func kindOf(v corev1.Volume) string {
	s := reflect.ValueOf(v.VolumeSource)
	for i := range s.NumField() {
		if !s.Field(i).IsNil() {
			name, _, _ := strings.Cut(s.Type().Field(i).Tag.Get("json"), ",")
			return name
		}
	}
	return "emptyDir"
}

func (c *check) hostPath(at, p string) {
	isUnder := func(dir string) bool {
		dir = strings.TrimSuffix(dir, "/")
		return p == dir || strings.HasPrefix(p, dir+"/")
	}
	if path.Clean(p) != strings.TrimSuffix(p, "/") || !slices.ContainsFunc(c.policy.Host.Paths, isUnder) {
		c.bad(at, fmt.Sprintf("%q is the node's", shown(p)), askList, "host: {paths: […]}")
	}
}

// secrets checks every name of a Secret in the pod against the list.
func (c *check) secrets() {
	spec := c.pod.PodSpec()
	var root any
	b, err := json.Marshal(struct {
		*corev1.PodSpec
		Checkout any `json:"checkout,omitempty"`
		Runner   any `json:"runner,omitempty"`
	}{spec, struct {
		EnvFrom     []corev1.EnvFromSource     `json:"envFrom,omitempty"`
		Credentials *corev1.SecretVolumeSource `json:"gitCredentialsSecret,omitempty"`
	}{c.pod.Checkout.EnvFrom, c.pod.Checkout.Credentials}, c.pod.Runner})
	if err == nil {
		err = json.Unmarshal(b, &root)
	}
	if err != nil {
		c.bad("kubernetes", shown(err.Error()), "write it as Kubernetes reads it")
		return
	}
	for _, ref := range secretRefs(root, "", false) {
		if slices.Contains(c.tokens, ref.name) {
			c.bad(ref.at, "the Secret "+shown(ref.name)+" has the agent token in it, which no step gets", "use another Secret")
			continue
		}
		c.in(ref.at, ref.name, "the Secret", "secrets", c.policy.Secrets)
	}
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
			field := strings.TrimPrefix(at+"."+k, ".")
			isRef := strings.Contains(strings.ToLower(k), "secret")
			if s, ok := value.(string); ok && (isRef || inRef && k == "name") {
				refs = append(refs, secretRef{field, s})
			}
			refs = append(refs, secretRefs(value, field, isRef)...)
		}
	case []any:
		for i, value := range v {
			entry, _ := value.(map[string]any)
			name, _ := entry["name"].(string)
			refs = append(refs, secretRefs(value, fmt.Sprintf("%s[%s]", at, shown(cmp.Or(name, fmt.Sprint(i)))), inRef)...)
		}
	}
	return refs
}
