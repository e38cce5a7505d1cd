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

// onTermDrain is the policy that lets a job go on at SIGTERM.
const onTermDrain = "drain"

// graceEnv tells the runner the time from SIGTERM to SIGKILL, divides it, where the
// template doesn't do so itself, and checks what comes of it:
//
//	cancel   the job has all of it to end in, but for the report; at SIGTERM, only
//	         as much as there is at the least
//	drain    the job runs on; the last ten seconds are as the agent's own
//
// A job's own cancellation on Buildkite gets the same times, whatever there is at
// the least.
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
		return nil, fmt.Errorf("spec.template.spec.terminationGracePeriodSeconds: with on-term drain a job goes on at SIGTERM, and %v less %v for cancelling it leaves it no time for that", grace, cancel+contract.GraceTail)
	}
	return env, nil
}

// leastPodGrace is the least terminationGracePeriodSeconds.
const leastPodGrace = 5 * time.Second

// checkLeast says what is wrong with a template's own EnvLeastGrace.
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

// preStop is how much of the grace is over when the agent's container gets SIGTERM:
// the kubelet counts its preStop in. How long a command or a request takes, nobody
// knows, and a job that drains must not run on beyond the end.
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

// givenGraces are those that the template sets itself, with their values where it
// has them; known is false when a share of the grace comes from elsewhere. Those that
// have agent v4's names are there by v3's, too.
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

// byV3 adds to graces that have agent v4's names those that v3 has for them.
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
