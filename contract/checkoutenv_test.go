package contract

import (
	"slices"
	"testing"
)

func TestCheckoutEnv(t *testing.T) {
	want := []CheckoutEnv{{"", "/a/0"}, {"GIT_", "/a/1"}}
	if got := ParseCheckoutEnv(CheckoutEnvValue(want)); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	for name, want := range map[string]bool{"BUILDKITE_AGENT_TOKEN": true, "BUILDKITE": true, "ONEJOB_X": true, "KUBERNETES_PORT": true, "GIT_SSH_COMMAND": false, "NO_BUILDKITE": false} {
		if got := IsKept(name); got != want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
