package endtoend

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
)

// TestLostNodes: node-1 dies, and its Node object is deleted, as a cloud does
// it; node-2 is cut off, and everything on it goes on.
func TestLostNodes(t *testing.T) {
	t.Parallel()
	sideBySide(t, nodeRows)
}

const (
	// preferred: the next attempt may be elsewhere.
	preferred = `{nodeSelector: null, affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: {matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [node-1]}]}}]}}}`
	comesLate = `{nodeSelector: {kubernetes.io/hostname: node-2}, tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoSchedule}, {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoSchedule}, {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}]}`
	cutOff    = `{nodeSelector: {kubernetes.io/hostname: node-2}, tolerations: [{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}]}`
)

// dying has both jobs of node-1 where they should be; dead is closed when node-2
// is cut off, and mourned when what came to it then has been told of.
var dying, dead, mourned = make(chan struct{}, 2), make(chan struct{}), make(chan struct{})

var nodeRows = []row{
	{
		name: "node-gone-before", pod: preferred, faults: locked, exit: "0", kjobs: 2,
		act: func(s *scene) {
			s.refused()
			dying <- struct{}{}
			s.unlockAfter(1)
		},
		page:  []string{"the pod of attempt 1 was lost before it acquired the job: DeletionByPodGC", "PodGC: node no longer exists"},
		event: "NewAttempt: the pod of attempt 1 was lost", metric: "attempt/pod_lost",
	},
	{
		name: "node-gone-running", pod: preferred, command: forSleep, retry: "{exit_status: -1, limit: 1}", finishHeld: true, exit: "-1", signalReason: "stack_error", kjobs: 1,
		act: func(s *scene) {
			s.started()
			select {
			case <-dying:
			case <-s.ctx.Done():
				s.Fatal("the other job never got to node-1")
			}
			must(s, on.Cluster.KillNode("node-1"))
			must(s, on.Cluster.Client().CoreV1().Nodes().Delete(s.ctx, "node-1", metav1.DeleteOptions{}))
		},
		page:  []string{"the pod was lost while the job ran in it; onejob does not run the job again: DeletionByPodGC, PodGC: node no longer exists"},
		event: "JobFinished: the pod was lost while the job ran in it", metric: "finish/pod_lost_running",
	},
	{
		// Nobody can see what goes on there, so nothing is done but to say so.
		name: "node-cut-off", pod: cutOff, command: untilTold, finishHeld: true, exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.started()
			must(s, on.Cluster.KillKubelet("node-2"))
			close(dead)
			s.told("Kubernetes stopped the pod in which the job ran: DeletionByTaintManager, Taint manager: deleting due to NoExecute taint")
			s.polled(10)
			if j := s.job(); j.State != simulator.StateRunning || j.StackFinish != nil {
				s.Errorf("the job is %s, finished by us with %+v, and it runs", j.State, j.StackFinish)
			}
			// First the other row: once this job is over, onejob waits for a time only that the
			// kubelet tells how its pod ended, and then deletes its Kubernetes Job.
			select {
			case <-mourned:
			case <-s.ctx.Done():
				s.Error("the pod that came later was never told of")
			}
			s.letGo()
			s.happens("the job ends", func() bool { return s.job().State.Terminal() })
			must(s, on.Cluster.StartKubelet(s.ctx, "node-2"))
		},
		event: "JobNotice: Kubernetes stopped the pod in which the job ran: DeletionByTaintManager", metric: "none/finished",
	},
	{
		// Its pod gets a node that is dead, and can neither start nor end there.
		name: "node-dead-before", pod: comesLate, exit: "0", kjobs: 2,
		before: func(s *scene) {
			select {
			case <-dead:
			case <-s.ctx.Done():
				s.Fatal("node-2 was never cut off")
			}
		},
		act: func(s *scene) {
			defer close(mourned)
			s.told("if node node-2 is gone for good, delete it (kubectl delete node)")
			if n := s.attempts(); n != 1 {
				s.Errorf("%d attempts while the first one's pod may start", n)
			}
		},
		page: []string{
			"waiting for the pod to end: it was told to stop before it acquired the job; if node ",
			"the pod of attempt 1 was lost before it acquired the job: DeletionByTaintManager",
		},
		event: "NewAttempt: the pod of attempt 1 was lost before it acquired the job: DeletionByTaintManager", metric: "attempt/pod_lost",
	},
}
