package endtoend

import (
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// TestDrainPolicies is what deploy/drain/README.md promises.
func TestDrainPolicies(t *testing.T) {
	t.Parallel()
	ok(t, on.Apply(t.Context(), filepath.Join("..", "..", "deploy", "drain"), "rows-drain"))
	sideBySide(t, drainRows)
}

var drainRows = []row{
	{
		// The signal comes to both containers, and the runner decides for both.
		name: "cancel-step-deleted", image: image.BusyboxName, command: forSleep,
		act:  func(s *scene) { s.started(); s.delete(s.running(1)) },
		exit: "-1", signalReason: "agent_stop", kjobs: 1, page: []string{"Kubernetes stopped the pod in which the job ran: the pod was deleted"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted", metric: "none/finished",
	},
	{
		name: "drain-step", namespace: "rows-drain", queue: "on-term: drain", pod: "terminationGracePeriodSeconds: 60", image: image.BusyboxName,
		command: "echo begun; sleep 8; echo made it", exit: "0", kjobs: 1,
		act:  func(s *scene) { s.started(); s.delete(s.running(1)) },
		page: []string{"Kubernetes stopped the pod in which the job ran: the pod was deleted"}, metric: "none/finished",
	},
	{
		name: "cancel-evicted", command: forSleep, retry: "{signal_reason: agent_stop, limit: 1}",
		act:  func(s *scene) { s.started(); must(s, s.evict(s.running(1))) },
		exit: "-1", signalReason: "agent_stop", kjobs: 1,
		page:  []string{"Kubernetes stopped the pod in which the job ran: EvictionByEvictionAPI, Eviction API: evicting"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: EvictionByEvictionAPI", metric: "none/finished",
	},
	{
		// The pod isn't told that it has less than it was promised.
		name: "cancel-cut-to-ten-seconds", pod: "terminationGracePeriodSeconds: 60", command: untilKilled,
		act:  func(s *scene) { s.started(); s.deleteWithin(s.running(1), 10) },
		exit: "-1", signalReason: "agent_stop", kjobs: 1, page: []string{"Kubernetes stopped the pod in which the job ran: the pod was deleted"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted", metric: "none/finished",
	},
	{
		name: "cancel-after-prestop", pod: "terminationGracePeriodSeconds: 30", agent: "lifecycle: {preStop: {exec: {command: [sleep, '20']}}}", command: untilKilled,
		act:  func(s *scene) { s.started(); s.delete(s.running(1)) },
		exit: "-1", signalReason: "agent_stop", kjobs: 1, page: []string{"Kubernetes stopped the pod in which the job ran: the pod was deleted"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted", metric: "none/finished",
	},
	{
		name: "drain-resists", namespace: "rows-drain", queue: "on-term: drain", pod: "terminationGracePeriodSeconds: 60", command: untilTold, exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.started()
			p := s.running(1)
			s.until("the budget is in force", func() bool {
				b, err := on.Cluster.Client().PolicyV1().PodDisruptionBudgets(s.namespace).Get(s.ctx, "onejob-drain", metav1.GetOptions{})
				must(s, err)
				return guarded(b)
			})
			for range 3 {
				if err := s.evict(p); !apierrors.IsTooManyRequests(err) || !strings.Contains(err.Error(), "disruption budget") {
					s.Errorf("evicting a drain pod: %v, want a refusal", err)
				}
			}
			s.letGo()
		},
		metric: "none/finished",
	},
	{
		name: "drain-pending", namespace: "rows-drain", queue: "on-term: drain", pod: "{terminationGracePeriodSeconds: 60, nodeSelector: {no: such}}",
		act: func(s *scene) {
			s.until("a pod", func() bool { return len(s.pods()) == 1 })
			must(s, s.evict(s.pods()[0])) // nothing of the job is lost
			s.until("another attempt", func() bool { return s.attempts() == 2 })
			must(s, on.Simulator.CancelJob(s.id))
		},
		kjobs: 2, page: []string{"the pod of attempt 1 was lost before it acquired the job: EvictionByEvictionAPI, Eviction API: evicting"},
		event: "NewAttempt: the pod of attempt 1 was lost", metric: "attempt/pod_lost",
	},
	{
		// What doesn't ask the budget (a person, a spot node's end): the job goes
		// on in the grace.
		name: "drain-terminated", namespace: "rows-drain", queue: "on-term: drain", pod: "terminationGracePeriodSeconds: 600", command: untilTold, exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.started()
			s.delete(s.running(1))
			s.told("Kubernetes stopped the pod in which the job ran: the pod was deleted")
			s.polled(5)
			if st := s.job().State; st != simulator.StateRunning {
				s.Errorf("the job is %s after SIGTERM, want it to go on", st)
			}
			s.letGo()
		},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted", metric: "none/finished",
	},
	{
		name: "drain-cut-short", namespace: "rows-drain", queue: "on-term: drain", pod: "terminationGracePeriodSeconds: 14", command: forSleep, retry: "{signal_reason: agent_stop, limit: 1}",
		act:  func(s *scene) { s.started(); s.delete(s.running(1)) },
		exit: "-1", signalReason: "agent_stop", kjobs: 1, page: []string{"Kubernetes stopped the pod in which the job ran: the pod was deleted"},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: the pod was deleted", metric: "none/finished",
	},
}

// untilKilled is a job that ignores SIGTERM.
const untilKilled = `trap '' TERM INT; echo begun; while true; do sleep 1; done`

// deleteWithin is kubectl delete --grace-period.
func (s *scene) deleteWithin(p corev1.Pod, seconds int64) {
	must(s, on.Cluster.Client().CoreV1().Pods(p.Namespace).Delete(s.ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &seconds}))
}

// guarded: the controller has seen the budget and running pods, and allows nothing.
func guarded(b *policyv1.PodDisruptionBudget) bool {
	return b.Status.ObservedGeneration == b.Generation && b.Status.ExpectedPods > 0 && b.Status.CurrentHealthy > 0 && b.Status.DisruptionsAllowed == 0
}
