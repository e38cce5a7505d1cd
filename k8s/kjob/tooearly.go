package kjob

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/steps"
)

// The settings of an agent that checks what a job runs before it runs it.
const (
	envNoCommandEval = "BUILDKITE_NO_COMMAND_EVAL"
	envVerifyFile    = "BUILDKITE_AGENT_VERIFICATION_JWKS_FILE"
	envVerifyFailure = "BUILDKITE_AGENT_JOB_VERIFICATION_NO_SIGNATURE_BEHAVIOR"
)

// tooEarly is what of a step would run before the runner has checked the job: the kubelet
// starts it, when nobody has the job yet.
func tooEarly(pod *steps.Pod, agent *corev1.Container) error {
	checks := checksOf(agent)
	if len(checks) == 0 {
		return nil
	}
	var errs []error
	refuse := func(at, what string) {
		errs = append(errs, fmt.Errorf("%s: the agents of this queue check a job before they run anything of it (%s in the queue's template), and %s would run before that: take it out, or put it into the queue's template", at, strings.Join(checks, ", "), what))
	}
	for _, placed := range pod.Containers() {
		name := placed.Container.Name
		if !slices.ContainsFunc(pod.Commands, func(c steps.Command) bool { return c.Container.Name == name }) {
			refuse(contract.Line(placed.At, 120), "this container")
			continue
		}
		for _, field := range programs(placed.Container) {
			refuse(contract.Line(placed.At, 120)+"."+field, "its program")
		}
	}
	return errors.Join(errs...)
}

// checksOf are the settings by which the agents of a template check a job. One whose value
// isn't in the template counts as set.
func checksOf(agent *corev1.Container) (names []string) {
	values := map[string]string{}
	for _, e := range agent.Env {
		if values[e.Name] = e.Value; e.ValueFrom != nil {
			values[e.Name] = e.Name
		}
	}
	if v := values[envNoCommandEval]; v != "" {
		if on, err := strconv.ParseBool(v); on || err != nil {
			names = append(names, envNoCommandEval)
		}
	}
	if values[envVerifyFile] != "" && values[envVerifyFailure] != "warn" {
		names = append(names, envVerifyFile)
	}
	return names
}

// programs are the fields of a container by which the kubelet starts a program in it
// beside its command.
func programs(c corev1.Container) (fields []string) {
	if l := c.Lifecycle; l != nil {
		for field, h := range map[string]*corev1.LifecycleHandler{"lifecycle.postStart": l.PostStart, "lifecycle.preStop": l.PreStop} {
			if h != nil && h.Exec != nil {
				fields = append(fields, field)
			}
		}
	}
	for field, p := range map[string]*corev1.Probe{"livenessProbe": c.LivenessProbe, "readinessProbe": c.ReadinessProbe, "startupProbe": c.StartupProbe} {
		if p != nil && p.Exec != nil {
			fields = append(fields, field)
		}
	}
	slices.Sort(fields)
	return fields
}
