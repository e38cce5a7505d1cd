package endtoend

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestWarm: a placeholder holds the room that the next job needs, gives it up to
// that job's pod, and takes it again when the job is over.
func TestWarm(t *testing.T) {
	t.Parallel()
	// Room for one of them, whatever this machine has.
	_, err := on.Cluster.Client().CoreV1().Nodes().Patch(t.Context(), on.Cluster.NodeNames[0], types.StrategicMergePatchType,
		[]byte(`{"status": {"capacity": {"example.com/room": "1"}}}`), metav1.PatchOptions{}, "status")
	ok(t, err)
	sideBySide(t, warmRows)
}

var warmRows = []row{{
	name: "warm", queue: "min-agents: 1", exit: "0", kjobs: 1, metric: "none/finished",
	agent: `resources: {requests: {cpu: 5m, memory: 16Mi, example.com/room: 1}, limits: {example.com/room: 1}}`,
	// The job isn't scheduled before there is a placeholder.
	before: func(s *scene) { s.placeholder = s.warmPod() },
	act: func(s *scene) {
		s.happens("the build ends", s.done)
		if next := s.warmPod(); next.UID == s.placeholder.UID {
			s.Errorf("the job's pod and the placeholder both had the room\n%s", s.story())
		}
		events, err := on.Cluster.Client().CoreV1().Events(s.namespace).List(s.ctx, metav1.ListOptions{
			FieldSelector: "involvedObject.uid=" + string(s.placeholder.UID) + ",reason=Preempted",
		})
		must(s, err)
		if len(events.Items) == 0 {
			s.Errorf("nobody preempted the placeholder %s", s.placeholder.Name)
		}
	},
}}

// warmPod waits for a placeholder of the row's queue that has its room.
func (s *scene) warmPod() (p corev1.Pod) {
	s.Helper()
	s.until("a placeholder runs", func() bool {
		list, err := on.Cluster.Client().CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{
			LabelSelector: "app.kubernetes.io/component=warm,onejob.dev/queue=" + s.name,
		})
		must(s, err)
		for _, p = range list.Items {
			if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil {
				return true
			}
		}
		return false
	})
	return p
}
