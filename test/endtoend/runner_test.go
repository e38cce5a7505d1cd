package endtoend

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// TestRunnerExits is the table of exit codes (package contract), as the real
// runner comes to them.
func TestRunnerExits(t *testing.T) {
	t.Parallel()
	sideBySide(t, runnerRows)
}

// once has the runner give up after its first try.
const once = "env: [{name: ONEJOB_ACQUIRE_ATTEMPTS, value: '1'}]"

var runnerRows = []row{
	{
		name: "exit-27-rejected", agent: once, faults: []simulator.Fault{{Endpoint: "acquire", Status: 422, Body: `{"message":"not now"}`, Times: 1}}, exit: "0", kjobs: 2,
		page: []string{"attempt 1 was refused the job", "but Buildkite offers it again"}, event: "NewAttempt: attempt 1 was refused the job", metric: "attempt/rejected",
	},
	{
		name: "exit-28-locked", agent: once, faults: []simulator.Fault{{Endpoint: "acquire", Status: 423, Times: 1, Header: map[string]string{"Retry-After": "7"}}}, exit: "0", kjobs: 2,
		act:  notBefore,
		page: []string{"attempt 1 found the job locked"}, event: "NewAttempt: attempt 1 found the job locked", metric: "attempt/locked",
	},
	{
		name: "exit-70-start-refused", faults: []simulator.Fault{{Endpoint: "start", Status: 422}}, exit: "-1", signalReason: "process_run_error", kjobs: 1,
		page:  []string{"attempt 1 acquired the job but its end was not reported; onejob does not run it again: Buildkite didn't let the job start"},
		event: "JobLost: attempt 1 acquired the job but its end was not reported", metric: "none/not_run",
	},
	{
		name: "exit-75-exhausted", agent: once, faults: []simulator.Fault{{Endpoint: "acquire", Status: 503, Times: 1}}, exit: "0", kjobs: 2,
		page: []string{"attempt 1 could not reach Buildkite: "}, event: "NewAttempt: attempt 1 could not reach Buildkite", metric: "attempt/exhausted",
	},
	{
		// The pods' Secret is older than the scheduler's token.
		name: "exit-77-old-token", namespace: "rows-old-token", exit: "0",
		act: func(s *scene) {
			s.token("bkct_old")
			s.until("an attempt's token is refused", func() bool { return s.attempts() > 1 })
			s.token(simulator.DefaultAgentToken)
		},
		page: []string{"attempt 1 had its token refused: "}, event: "NewAttempt: attempt 1 had its token refused", metric: "attempt/token_refused",
	},
	{
		name: "exit-78-config", agent: "env: [{name: BUILDKITE_CANCEL_SIGNAL, value: SIGNOPE}]", exit: "-1", signalReason: "stack_error", kjobs: 1,
		page:  []string{"attempt 1 could not run with its configuration; another pod would fail in the same way: ", "SIGNOPE"},
		event: "JobFinished: attempt 1 could not run", metric: "finish/bad_config",
	},
	{
		// Its result can't be delivered, and it doesn't give up: the deadline ends
		// it. As it leaves, Buildkite ends the job for want of an agent. A runner
		// that is killed before that is missed after a while, and a finish, which
		// is refused, is tried until then.
		name: "silent-runner", job: "activeDeadlineSeconds: 120", faults: []simulator.Fault{{Endpoint: "finish", Status: 503}}, kjobs: 1,
		act: func(s *scene) {
			s.told("DeadlineExceeded, Job was active longer than specified deadline")
			s.told("its end was not reported; onejob does not run it again") // who ends it depends on the state that is told
			if j := s.job(); j.State.Held() {
				must(s, on.Simulator.LoseAgent(j.AgentID))
			}
			s.until("its end is counted", func() bool {
				return slices.ContainsFunc([]string{"none", "finish"}, func(action string) bool { return s.counted(action, "not_run") })
			})
		},
		exit: "-1", page: []string{"Kubernetes stopped the pod in which the job ran: DeadlineExceeded"},
		event: "JobLost: attempt 1 acquired the job but its end was not reported; onejob does not run it again",
	},
	{
		// Its result can't be delivered either, and Buildkite has ended the job.
		name: "runner-outlives-job", faults: []simulator.Fault{{Endpoint: "finish", Status: 503}}, kjobs: 1,
		act:  func(s *scene) { s.refused(); must(s, on.Simulator.LoseAgent(s.job().AgentID)) },
		exit: "-1", page: []string{"the job is over but its pod still ran; onejob deletes the pod"},
		event: "Deleted: deleted by onejob: outlived", metric: "delete/outlived",
	},
}

// notBefore waits for the second attempt and compares it with what the first
// one's runner left.
func notBefore(s *scene) {
	var asked time.Time
	s.until("the first runner's word", func() bool {
		for _, p := range s.pods() {
			for _, c := range p.Status.ContainerStatuses {
				if end := c.State.Terminated; end != nil {
					if m, err := contract.ParseMessage(end.Message); err == nil && m.NotBefore != nil && m.Attempt == 1 {
						asked = *m.NotBefore
					}
				}
			}
		}
		return !asked.IsZero()
	})
	s.until("a second attempt", func() bool { return s.attempts() == 2 })
	for _, k := range s.kjobList() {
		if k.Labels[contract.LabelAttempt] == "2" && k.CreationTimestamp.Time.Before(asked.Truncate(time.Second)) {
			s.Errorf("the second attempt was made at %s, not before %s was asked for", k.CreationTimestamp, asked)
		}
	}
}

// token changes what the namespace's pods get.
func (s *scene) token(value string) {
	secrets := on.Cluster.Client().CoreV1().Secrets(s.namespace)
	_, err := secrets.Update(s.ctx, &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob-agent-token"}, StringData: map[string]string{"token": value},
	}, metav1.UpdateOptions{})
	must(s, err)
}
