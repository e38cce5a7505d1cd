package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// node is a kubelet and its containerd.
type node struct {
	cluster *Cluster
	number  int
	name    string
	address string
	dir     string

	cgroup        string // above the pods'
	runtimeCgroup string // of containerd and its shims

	mutex   sync.Mutex
	kubelet *sandbox.Process // nil while it is stopped
}

func (c *Cluster) newNode(number int) *node {
	name := "node-" + strconv.Itoa(number)
	address, _, _ := c.sandbox.Addresses.Node(number)
	return &node{cluster: c, number: number, name: name, address: address, dir: filepath.Join(c.sandbox.Dir, name)}
}

// ready waits until the scheduler would place a pod: Ready, and without the
// taint of a new node.
func (n *node) ready(ctx context.Context) error {
	n.mutex.Lock()
	kubelet := n.kubelet
	n.mutex.Unlock()
	return until(ctx, kubelet, "waiting for "+n.name, func(ctx context.Context) error {
		object, err := n.cluster.client.CoreV1().Nodes().Get(ctx, n.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(object.Spec.Taints) > 0 {
			return fmt.Errorf("it has the taint %s", object.Spec.Taints[0].Key)
		}
		for _, condition := range object.Status.Conditions {
			if condition.Type == corev1.NodeReady {
				if condition.Status == corev1.ConditionTrue {
					return nil
				}
				return errors.New(condition.Message)
			}
		}
		return errors.New("it has no condition Ready yet")
	})
}

func (c *Cluster) node(name string) (*node, error) {
	for _, node := range c.nodes {
		if node.name == name {
			return node, nil
		}
	}
	return nil, fmt.Errorf("no node %q", name)
}

// SignalKubelet sends sig to the node's kubelet: SIGSTOP freezes it, SIGCONT
// thaws it.
func (c *Cluster) SignalKubelet(name string, sig syscall.Signal) error {
	node, err := c.node(name)
	if err != nil {
		return err
	}
	node.mutex.Lock()
	defer node.mutex.Unlock()
	if node.kubelet == nil {
		return fmt.Errorf("the kubelet of %s is stopped", name)
	}
	return node.kubelet.Signal(sig)
}

// KillKubelet kills the node's kubelet with SIGKILL and returns when it is gone.
// Its containers go on.
func (c *Cluster) KillKubelet(name string) error {
	node, err := c.node(name)
	if err != nil {
		return err
	}
	node.mutex.Lock()
	defer node.mutex.Unlock()
	if node.kubelet == nil {
		return nil
	}
	if err := node.kubelet.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-node.kubelet.Done()
	node.kubelet = nil
	return nil
}

// StartKubelet starts the node's kubelet again after KillKubelet, and returns
// when it answers. Whether the node is Ready then, Kubernetes says in its own
// time.
func (c *Cluster) StartKubelet(ctx context.Context, name string) error {
	node, err := c.node(name)
	if err != nil {
		return err
	}
	return node.startKubelet(ctx)
}

// KillNode kills all of the node at once, as a power cut would: kubelet,
// containerd and every container. RestartNode brings it back.
func (c *Cluster) KillNode(name string) error {
	node, err := c.node(name)
	if err != nil {
		return err
	}
	if err := c.KillKubelet(name); err != nil {
		return err
	}
	// containerd and the shims first, so that nobody is left to report the containers' ends.
	return errors.Join(c.sandbox.KillCgroup(node.runtimeCgroup), c.sandbox.KillCgroup(node.cgroup))
}

// RestartNode starts the node's containerd and kubelet after KillNode, and
// returns when the node is Ready or ctx ends.
func (c *Cluster) RestartNode(ctx context.Context, name string) error {
	node, err := c.node(name)
	if err != nil {
		return err
	}
	if err := node.startRuntime(ctx); err != nil {
		return err
	}
	if err := node.startKubelet(ctx); err != nil {
		return err
	}
	return node.ready(ctx)
}
