package kjob

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// onTermDrain is the policy that lets a job go on at SIGTERM.
const onTermDrain = "drain"

// graceEnv divides the template's terminationGracePeriodSeconds for the runner,
// where the template doesn't do so itself, and checks what comes of it:
//
//	cancel   the job has all of it to end in, but for the report
//	drain    the job runs on; the last ten seconds are as the agent's own
//
// A job's own cancellation on Buildkite gets the same times.
func graceEnv(job *batchv1.Job, onTerm string) ([]corev1.EnvVar, error) {
	agent, seconds := FindAgent(&job.Spec.Template.Spec), job.Spec.Template.Spec.TerminationGracePeriodSeconds
	if agent == nil || seconds == nil {
		return nil, nil // checkTemplate says so
	}
	grace := time.Duration(*seconds) * time.Second
	given, known, err := givenGraces(agent)
	if err != nil || !known {
		return nil, err
	}
	var env []corev1.EnvVar
	set := func(name string, d time.Duration) {
		env = append(env, corev1.EnvVar{Name: name, Value: strconv.Itoa(int(d / time.Second))})
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

// givenGraces are those of the two that the template sets; known is false when
// their values come from elsewhere.
func givenGraces(agent *corev1.Container) (given map[string]time.Duration, known bool, err error) {
	given = map[string]time.Duration{}
	for _, e := range agent.Env {
		if e.Name != contract.EnvCancelGrace && e.Name != contract.EnvSignalGrace {
			continue
		}
		if e.ValueFrom != nil || strings.Contains(e.Value, "{{env.") {
			return nil, false, nil
		}
		seconds, err := strconv.Atoi(e.Value)
		if err != nil {
			return nil, false, fmt.Errorf("spec.template.spec.containers[agent].env: %s: %q is no number of seconds", e.Name, e.Value)
		}
		given[e.Name] = time.Duration(seconds) * time.Second
	}
	return given, true, nil
}
