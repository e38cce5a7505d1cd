package kjob

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

// A template's grace is the time in which its jobs end. Parse refuses graces with which the
// runner would refuse to start.
func TestGraces(t *testing.T) {
	for _, tt := range []struct {
		name, onTerm   string
		grace          int
		env            string
		pod, given     string // more of the agent's container; the grace as the pod gets it, if it isn't grace
		least          string // as the pod gets it, if it isn't the default; - for none
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
		{name: "no number", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, value: 20s}", err: `"20s" is not a number`},
		{name: "the least of it given", onTerm: "cancel", grace: 60, env: "{name: ONEJOB_LEAST_GRACE_SECONDS, value: '60'}", cancel: "59", signal: "50", least: "-"},
		{name: "the least of it, none", onTerm: "cancel", grace: 60, env: "{name: ONEJOB_LEAST_GRACE_SECONDS, value: '0'}", cancel: "59", signal: "50", least: "-"},
		{name: "the least of it is too little", onTerm: "cancel", grace: 60, env: "{name: ONEJOB_LEAST_GRACE_SECONDS, value: '2'}", err: "ONEJOB_LEAST_GRACE_SECONDS is 2: it must be at least 3"},
		{name: "the least of it is more", onTerm: "cancel", grace: 60, env: "{name: ONEJOB_LEAST_GRACE_SECONDS, value: '61'}", err: "more than the 1m0s from SIGTERM to SIGKILL"},
		{name: "preStop sleeps", onTerm: "cancel", grace: 30, pod: "lifecycle: {preStop: {sleep: {seconds: 15}}}", given: "15", cancel: "14", signal: "12"},
		{name: "preStop sleeps, drain", onTerm: "drain", grace: 600, pod: "lifecycle: {preStop: {sleep: {seconds: 60}}}", given: "540", cancel: "10", signal: "9"},
		{name: "preStop sleeps too long", onTerm: "cancel", grace: 30, pod: "lifecycle: {preStop: {sleep: {seconds: 26}}}", err: "30, of which preStop sleeps 26s: at least 5s must be left"},
		{name: "preStop of unknown length", onTerm: "cancel", grace: 30, pod: "lifecycle: {preStop: {exec: {command: [sleep, '20']}}}", cancel: "29", signal: "25"},
		{name: "preStop of unknown length, drain", onTerm: "drain", grace: 600, pod: "lifecycle: {preStop: {exec: {command: [sleep, '20']}}}", err: "unknown part of terminationGracePeriodSeconds"},
		{name: "agent v4's names", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_SIGNAL_TIMEOUT, value: 20s}, {name: BUILDKITE_CANCEL_CLEANUP_TIMEOUT, value: 4s}"},
		{name: "agent v4's names, one of them", onTerm: "drain", grace: 600, env: "{name: BUILDKITE_CANCEL_SIGNAL_TIMEOUT, value: 1m}"},
		{name: "agent v4's names, too long", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_SIGNAL_TIMEOUT, value: 1m}", err: "kubelet kills the runner"},
		{name: "agent v4's names, too short", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_CLEANUP_TIMEOUT, value: 900ms}", err: "reporting the result"},
		{name: "agent v4's names, no duration", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_CLEANUP_TIMEOUT, value: '5'}", err: `"5" is not a duration`},
		{name: "both agents' names", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_CLEANUP_TIMEOUT, value: 5s}, {name: BUILDKITE_CANCEL_GRACE_PERIOD, value: '15'}", err: "say the same"},
		{name: "from elsewhere, cancel", onTerm: "cancel", grace: 60, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, valueFrom: {configMapKeyRef: {name: a, key: b}}}"},
		{name: "from elsewhere", onTerm: "drain", grace: 5, env: "{name: BUILDKITE_CANCEL_GRACE_PERIOD, valueFrom: {configMapKeyRef: {name: a, key: b}}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			doc := fmt.Sprintf("spec: {terminationGracePeriodSeconds: %d, containers: [{name: agent, env: [%s], %s}]}", tt.grace, tt.env, tt.pod)
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
			given, least := cmp.Or(tt.given, strconv.Itoa(tt.grace)), cmp.Or(tt.least, strconv.Itoa(min(tt.grace, 10)))
			if tt.onTerm == "drain" || tt.least == "-" {
				least = ""
			}
			if got[contract.EnvGrace] != given || got[contract.EnvLeastGrace] != least {
				t.Errorf("got %v, want a grace of %q and %q at the least", got, given, least)
			}
			if got[contract.EnvCancelGrace] != tt.cancel || got[contract.EnvSignalGrace] != tt.signal {
				t.Errorf("got %v, want %q and %q", got, tt.cancel, tt.signal)
			}
		})
	}
}
