package kjob

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// Only where the queue allows it does a pod have what a hold needs.
func TestHold(t *testing.T) {
	for text, want := range map[string]bool{"": false, "  hold: 0s\n": false, "  hold: 30m\n": true} {
		tpl, err := Parse(nil, aQueue(t, text))
		if err != nil {
			t.Fatal(err)
		}
		k, err := New(aJob(), 1, tpl, nil)
		if err != nil {
			t.Fatal(err)
		}
		pod := k.Spec.Template.Spec
		volume := slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Name == contract.HoldVolume && v.DownwardAPI != nil })
		env := slices.ContainsFunc(FindAgent(&pod).Env, func(e corev1.EnvVar) bool { return e.Name == contract.EnvHold && e.Value == "30m0s" })
		if volume != want || env != want {
			t.Errorf("%q: volume %v, variable %v", text, volume, env)
		}
	}
}
