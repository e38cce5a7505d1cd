package kjob

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// onTermDrain is the value of on-term that lets a job run on after SIGTERM.
const onTermDrain = "drain"

// graceEnv returns the runner's variables for the time from SIGTERM to SIGKILL and for its
// shares. It divides the time unless the template does, and checks the result:
//
//	cancel   the job has all of the time, minus the report. After a SIGTERM it has
//	         EnvLeastGrace minus the report, because Kubernetes may allow no more
//	drain    the job runs on. The last ten seconds are the agent's cancel grace period
//
// A cancellation on Buildkite has the same times, but without the limit of EnvLeastGrace.
func graceEnv(job *batchv1.Job, onTerm string) ([]corev1.EnvVar, error) {
	agent, seconds := FindAgent(&job.Spec.Template.Spec), job.Spec.Template.Spec.TerminationGracePeriodSeconds
	if agent == nil || seconds == nil {
		return nil, nil // checkTemplate says so
	}
	asleep, err := preStop(agent, onTerm)
	if err != nil {
		return nil, err
	}
	grace := time.Duration(*seconds)*time.Second - asleep
	if asleep > 0 && grace < leastPodGrace {
		return nil, fmt.Errorf("spec.template.spec.terminationGracePeriodSeconds: %d, of which preStop sleeps %v: at least %v must be left, because the runner reports to Buildkite in it", *seconds, asleep, leastPodGrace)
	}
	given, known, err := givenGraces(agent)
	if err != nil {
		return nil, err
	}
	var env []corev1.EnvVar
	set := func(name string, d time.Duration) {
		env = append(env, corev1.EnvVar{Name: name, Value: strconv.Itoa(int(d / time.Second))})
	}
	set(contract.EnvGrace, grace)
	if least, ok := given[contract.EnvLeastGrace]; !ok && onTerm != onTermDrain {
		set(contract.EnvLeastGrace, min(grace, contract.DefaultLeastGrace))
	} else if err := checkLeast(least, grace); err != nil {
		return nil, err
	}
	if !known {
		return env, nil
	}
	cancel, ok := given[contract.EnvCancelGrace]
	if !ok {
		if cancel = grace - contract.GraceTail; onTerm == onTermDrain {
			cancel = min(cancel, contract.DefaultCancelGrace)
		}
		set(contract.EnvCancelGrace, cancel)
	}
	signal, both := given[contract.EnvSignalGrace]
	switch {
	case !both && ok:
		signal = cancel - contract.GraceReport // the agent's default
	case !both:
		// Its last log lines may be many: the report has a sixth, up to ten seconds.
		signal = cancel - max(contract.GraceReport, min(cancel/6, 10*time.Second)).Truncate(time.Second)
		set(contract.EnvSignalGrace, signal)
	case signal < 0:
		signal += cancel // as the agent counts it
	}
	if err := contract.CheckGrace(grace, cancel, signal); err != nil {
		return nil, fmt.Errorf("spec.template.spec.terminationGracePeriodSeconds: %w", err)
	}
	if onTerm == onTermDrain && grace-cancel-contract.GraceTail < time.Second {
		return nil, fmt.Errorf("spec.template.spec.terminationGracePeriodSeconds: with on-term drain a job runs on after SIGTERM, but %v minus %v for cancelling leaves it no time", grace, cancel+contract.GraceTail)
	}
	return env, nil
}

// leastPodGrace is the least terminationGracePeriodSeconds, after preStop.
const leastPodGrace = 5 * time.Second

// checkLeast refuses a template's EnvLeastGrace that is too short or longer than the grace.
func checkLeast(least, grace time.Duration) error {
	err := contract.CheckLeastGrace(int(least / time.Second))
	if err == nil && least > grace {
		err = fmt.Errorf("%s is %v, which is more than the %v from SIGTERM to SIGKILL that spec.template.spec.terminationGracePeriodSeconds leaves", contract.EnvLeastGrace, least, grace)
	}
	if err != nil {
		return fmt.Errorf("spec.template.spec.containers[agent].env: %w", err)
	}
	return nil
}

// preStop is how much of the grace is over when the agent's container gets SIGTERM: the
// kubelet counts the preStop hook in. It is 0 for a command or a request, whose time is
// unknown; with drain such a hook is an error, because the job would run on beyond the end.
func preStop(agent *corev1.Container, onTerm string) (time.Duration, error) {
	if agent.Lifecycle == nil || agent.Lifecycle.PreStop == nil {
		return 0, nil
	}
	hook := agent.Lifecycle.PreStop
	if hook.Sleep != nil {
		return time.Duration(hook.Sleep.Seconds) * time.Second, nil
	}
	if onTerm == onTermDrain {
		return 0, errors.New("spec.template.spec.containers[agent].lifecycle.preStop: it takes an unknown part of terminationGracePeriodSeconds, and with on-term drain the runner must know how long the job may run on: use sleep, or an agent-shutdown hook")
	}
	return 0, nil
}

// graceNames are the variables by which a template divides the grace itself.
var graceNames = []string{contract.EnvCancelGrace, contract.EnvSignalGrace, contract.EnvLeastGrace, contract.EnvCancelSignalTimeout, contract.EnvCancelCleanupTimeout}

// givenGraces are the variables of graceNames that the template sets, those with agent v4's
// names also by v3's. A variable whose value comes from elsewhere (valueFrom, {{env.NAME}})
// is 0; known is then false unless it is EnvLeastGrace.
func givenGraces(agent *corev1.Container) (given map[string]time.Duration, known bool, err error) {
	given, known = map[string]time.Duration{}, true
	for _, e := range agent.Env {
		if !slices.Contains(graceNames, e.Name) {
			continue
		}
		if e.ValueFrom != nil || strings.Contains(e.Value, "{{env.") {
			known = known && e.Name == contract.EnvLeastGrace
			given[e.Name] = 0
			continue
		}
		if given[e.Name], err = graceOf(e); err != nil {
			return nil, false, fmt.Errorf("spec.template.spec.containers[agent].env: %w", err)
		}
	}
	return given, known, byV3(given)
}

// graceOf reads a number of seconds, or, as agent v4 does, a duration.
func graceOf(e corev1.EnvVar) (time.Duration, error) {
	if e.Name == contract.EnvCancelSignalTimeout || e.Name == contract.EnvCancelCleanupTimeout {
		d, err := time.ParseDuration(e.Value)
		if err != nil || d < 0 {
			return 0, fmt.Errorf("%s: %q is not a duration such as 10s", e.Name, e.Value)
		}
		return d, nil
	}
	seconds, err := strconv.Atoi(e.Value)
	if err != nil {
		return 0, fmt.Errorf("%s: %q is not a number of seconds", e.Name, e.Value)
	}
	return time.Duration(seconds) * time.Second, nil
}

// byV3 adds v3's variables to graces that have agent v4's names. Both names for one grace
// are an error.
func byV3(given map[string]time.Duration) error {
	signal, one := given[contract.EnvCancelSignalTimeout]
	cleanup, other := given[contract.EnvCancelCleanupTimeout]
	if !one && !other {
		return nil
	}
	for _, old := range []string{contract.EnvCancelGrace, contract.EnvSignalGrace} {
		if _, both := given[old]; both {
			return fmt.Errorf("spec.template.spec.containers[agent].env: %s and agent v4's %s or %s say the same: take one out", old, contract.EnvCancelSignalTimeout, contract.EnvCancelCleanupTimeout)
		}
	}
	if !one {
		signal = contract.DefaultCancelSignalTimeout
	}
	if !other {
		cleanup = contract.DefaultCancelCleanupTimeout
	}
	given[contract.EnvCancelGrace], given[contract.EnvSignalGrace] = contract.CancelTimeouts(signal, cleanup)
	return nil
}
