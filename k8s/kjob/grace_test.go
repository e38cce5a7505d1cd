package kjob

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

// A template's grace is its job's time to end in, and what the runner would
// refuse to start with is refused before there is a pod.
func TestGraces(t *testing.T) {
	for _, tt := range []struct {
		name, onTerm   string
		grace          int
		env            string
		cancel, signal string // as the pod gets them; empty: from the template, or the agent's default
		err            string
	}{
		{name: "the default", onTerm: "cancel", grace: 60, cancel: "59", signal: "50"},
		{name: "long", onTerm: "cancel", grace: 3600, cancel: "3599", signal: "3589"},
		{name: "the agent's own", onTerm: "cancel", grace: 11, cancel: "10", signal: "9"},
		{name: "the least", onTerm: "cancel", grace: 5, cancel: "4", signal: "3"},
		{name: "drain", onTerm: "drain", grace: 3600, cancel: "10", signal: "9"},
		{name: "drain without time for it", onTerm: "drain", grace: 11, err: "leaves it no time"},
		{name: "drain, a short cancel", onTerm: "drain", grace: 11, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, value: '4'}"},
		{name: "cancel given", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, value: '20'}"},
		{name: "signal given", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_SIGNAL_GRACE_PERIOD_SECONDS, value: '20'}", cancel: "59"},
		{name: "signal given, relative", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_SIGNAL_GRACE_PERIOD_SECONDS, value: '-20'}", cancel: "59"},
		{name: "cancel too long", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, value: '60'}", err: "kubelet kills the runner"},
		{name: "signal too long", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_SIGNAL_GRACE_PERIOD_SECONDS, value: '59'}", err: "reporting the result"},
		{name: "no number", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, value: 20s}", err: `"20s" is no number`},
		{name: "from elsewhere", onTerm: "drain", grace: 5, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, valueFrom: {configMapKeyRef: {name: a, key: b}}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := fmt.Sprintf("spec: {terminationGracePeriodSeconds: %d, containers: [{name: agent, env: [%s]}]}", tt.grace, tt.env)
			tpl, err := Parse([]byte(doc), aQueue(t, "  on-term: "+tt.onTerm+"\n"))
			if tt.err != "" || err != nil {
				if err == nil || tt.err == "" || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one that says %q", err, tt.err)
				}
				return
			}
			got := map[string]string{}
			for _, e := range tpl.graces {
				got[e.Name] = e.Value
			}
			if got[contract.EnvCancelGrace] != tt.cancel || got[contract.EnvSignalGrace] != tt.signal {
				t.Errorf("got %v, want %q and %q", got, tt.cancel, tt.signal)
			}
		})
	}
}
