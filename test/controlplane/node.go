package controlplane

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/onejob-dev/onejob/test/cluster"
)

// NodeName is the name of the one node.
const NodeName = "fake"

// nodeBeat is well under the node-monitor-grace-period of test/cluster.
const nodeBeat = 4 * time.Second

// Node makes a Node object that has room for every pod, and reports it ready
// until ctx ends. There is one for all Fixtures of a cluster.
func Node(ctx context.Context, c *cluster.Cluster) error {
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("100k"), corev1.ResourceMemory: resource.MustParse("100Ti"),
		corev1.ResourceEphemeralStorage: resource.MustParse("100Ti"), corev1.ResourcePods: resource.MustParse("100k"),
	}
	nodes := c.Client().CoreV1().Nodes()
	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: NodeName, Labels: map[string]string{"kubernetes.io/os": "linux", "kubernetes.io/hostname": NodeName}},
		Status:     corev1.NodeStatus{Capacity: room, Allocatable: room, Conditions: ready()},
	}
	if _, err := nodes.Create(ctx, n, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("making a node: %w", err)
	}
	go beat(ctx, c.Client())
	for { // the controllers take the taint off that every node begins with
		n, err := nodes.Get(ctx, NodeName, metav1.GetOptions{})
		if err == nil && len(n.Spec.Taints) == 0 {
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return fmt.Errorf("waiting until the node is ready: %w", err)
		}
	}
}

func ready() []corev1.NodeCondition {
	now := metav1.Now()
	return []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Fake", LastHeartbeatTime: now, LastTransitionTime: now}}
}

// beat is the kubelet's report. What can't be reported now is in a moment.
func beat(ctx context.Context, client kubernetes.Interface) {
	for sleep(ctx, nodeBeat) == nil {
		_, _ = patch(ctx, client.CoreV1().Nodes().Patch, NodeName, corev1.Node{Status: corev1.NodeStatus{Conditions: ready()}})
	}
}
