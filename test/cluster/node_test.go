package cluster_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/test/cluster"
)

func TestTwoNodes(t *testing.T) {
	t.Parallel() // it mostly waits until Kubernetes sees that nodes are gone
	begin := time.Now()
	c := cluster.Start(t, cluster.Config{Nodes: 2})
	t.Logf("two nodes ready after %s", time.Since(begin).Round(time.Millisecond))
	ns := namespace(t, c, "restricted")

	// One pod on each node, at the same time.
	for _, name := range c.NodeNames {
		pod := aPod("sleep", "300")
		pod.NodeSelector = map[string]string{corev1.LabelHostname: name}
		createJob(t, c, ns, "on-"+name, pod)
	}
	for _, name := range c.NodeNames {
		running(t, c, ns, "on-"+name)
	}
	first, second := podOf(t, c, ns, "on-"+c.NodeNames[0]), podOf(t, c, ns, "on-"+c.NodeNames[1])
	if first.Spec.NodeName == second.Spec.NodeName || first.Status.PodIP == second.Status.PodIP {
		t.Errorf("both pods are at %s %s and %s %s", first.Spec.NodeName, first.Status.PodIP, second.Spec.NodeName, second.Status.PodIP)
	}

	// The kubelet of one is killed: its pod goes on, and the other node doesn't notice.
	if err := c.KillKubelet(c.NodeNames[0]); err != nil {
		t.Fatal(err)
	}
	if err := c.SignalKubelet(c.NodeNames[0], syscall.SIGCONT); err == nil {
		t.Error("signalling a killed kubelet: got no error")
	}
	while := aPod("say", "meanwhile")
	while.NodeSelector = map[string]string{corev1.LabelHostname: c.NodeNames[1]}
	createJob(t, c, ns, "meanwhile", while)
	if got := finished(t, c, ns, "meanwhile"); got != batchv1.JobComplete {
		t.Errorf("on the other node: got %s, want Complete", got)
	}
	if err := c.StartKubelet(t.Context(), c.NodeNames[0]); err != nil {
		t.Fatal(err)
	}
	after := aPod("say", "after")
	after.NodeSelector = map[string]string{corev1.LabelHostname: c.NodeNames[0]}
	createJob(t, c, ns, "after", after)
	if got := finished(t, c, ns, "after"); got != batchv1.JobComplete {
		t.Errorf("after the kubelet's restart: got %s, want Complete", got)
	}
	if now := podOf(t, c, ns, "on-"+c.NodeNames[0]); now.UID != first.UID || now.Status.Phase != corev1.PodRunning || now.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod of the killed kubelet: got %s, want it running as before", now.Status.Phase)
	}

	// Its kubelet is cut off, and the other node loses power: Kubernetes sees both go,
	// and takes them back.
	mend, err := c.CutKubelet(t.Context(), c.NodeNames[0], false)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.KillNode(c.NodeNames[1]); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	is := func(name string, want corev1.ConditionStatus) {
		t.Helper()
		eventually(t, 5*time.Minute, func(ctx context.Context) error { return nodeReady(ctx, c, name, want) })
	}
	is(c.NodeNames[1], corev1.ConditionUnknown)
	t.Logf("a dead node was seen after %s", time.Since(begin).Round(time.Millisecond))
	is(c.NodeNames[0], corev1.ConditionUnknown)
	if err := mend(t.Context()); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	is(c.NodeNames[0], corev1.ConditionTrue)
	t.Logf("a mended one after %s", time.Since(begin).Round(time.Millisecond))
	if now := podOf(t, c, ns, "on-"+c.NodeNames[0]); now.UID != first.UID || now.Status.Phase != corev1.PodRunning || now.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod of the cut off kubelet: got %s, want it running as before", now.Status.Phase)
	}
	begin = time.Now()
	if err := c.RestartNode(t.Context(), c.NodeNames[1]); err != nil {
		t.Fatal(err)
	}
	t.Logf("it was back after %s", time.Since(begin).Round(time.Millisecond))
	createJob(t, c, ns, "again", while)
	if got := finished(t, c, ns, "again"); got != batchv1.JobComplete {
		t.Errorf("after the node's restart: got %s, want Complete", got)
	}

	begin = time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begin).Round(time.Millisecond)
	if took > time.Minute { // a second or two where nothing hangs and the disk is idle
		t.Errorf("ending two nodes took %s: something hung", took)
	}
	t.Logf("all down after %s", took)
}

func running(t *testing.T, c *cluster.Cluster, namespace, job string) {
	t.Helper()
	eventually(t, 5*time.Minute, func(ctx context.Context) error {
		pods, err := c.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
		if err != nil {
			return err
		}
		if len(pods.Items) == 1 && pods.Items[0].Status.Phase == corev1.PodRunning {
			return nil
		}
		return fmt.Errorf("Job %s has no running pod", job)
	})
}

func nodeReady(ctx context.Context, c *cluster.Cluster, name string, want corev1.ConditionStatus) error {
	node, err := c.Client().CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == want {
			return nil
		}
	}
	return fmt.Errorf("%s isn't Ready=%s", name, want)
}
