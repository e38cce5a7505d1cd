package kjob

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// A source that the template gives to a volume of the default template replaces the default's
// source. So does a variable's value.
func TestTemplateReplacesOneOfs(t *testing.T) {
	plain := aTemplate(t, "").Job.Spec.Template.Spec
	for _, v := range plain.Volumes {
		for f := range reflect.TypeFor[corev1.VolumeSource]().Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			// The source lacks its required fields; another check names those.
			merged := mergedVolume(t, v.Name, name)
			var has []string
			for i, of := range reflect.VisibleFields(reflect.TypeFor[corev1.VolumeSource]()) {
				if !reflect.ValueOf(merged.VolumeSource).Field(i).IsNil() {
					has = append(has, of.Name)
				}
			}
			if len(has) != 1 || has[0] != f.Name {
				t.Errorf("volume %s with %s has %q", v.Name, name, has)
			}
		}
	}
	kept := aTemplate(t, "{spec: {volumes: [{name: builds}, {name: tmp, emptyDir: {medium: Memory}}]}}").Job.Spec.Template.Spec.Volumes
	for _, v := range kept {
		switch {
		case v.Name == "builds" && (v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil):
			t.Errorf("a name alone has changed %s", v.Name)
		case v.Name == "tmp" && (v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil || v.EmptyDir.Medium != corev1.StorageMediumMemory):
			t.Errorf("the same source is merged: %+v", v.EmptyDir)
		}
	}
	for _, e := range FindAgent(&plain).Env {
		for _, given := range []string{"value: x", "valueFrom: {fieldRef: {fieldPath: metadata.name}}", "valueFrom: {configMapKeyRef: {name: a, key: b}}"} {
			pod := aTemplate(t, fmt.Sprintf("{spec: {containers: [{name: agent, env: [{name: %s, %s}]}]}}", e.Name, given)).Job.Spec.Template.Spec
			for _, got := range FindAgent(&pod).Env {
				if got.Name == e.Name && (got.Value != "") == (got.ValueFrom != nil) {
					t.Errorf("%s with %s is %+v", e.Name, given, got)
				}
			}
		}
	}
}

func mergedVolume(t *testing.T, volume, source string) corev1.Volume {
	t.Helper()
	merged, err := mergeTemplate(fmt.Appendf(nil, `{"spec": {"template": {"spec": {"volumes": [{"name": %q, %q: {}}]}}}}`, volume, source))
	if err != nil {
		t.Fatal(err)
	}
	var job batchv1.Job
	if err := json.Unmarshal(merged, &job); err != nil {
		t.Fatal(err)
	}
	for _, v := range job.Spec.Template.Spec.Volumes {
		if v.Name == volume {
			return v
		}
	}
	t.Fatalf("no volume %s", volume)
	return corev1.Volume{}
}
