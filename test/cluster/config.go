package cluster

import (
	"fmt"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// MaxNodes is how many nodes a cluster can have.
const MaxNodes = sandbox.MaxNodes

// Config says what cluster to start. The zero value is a control plane alone.
type Config struct {
	// Nodes is the number of kubelets, each with a containerd: 0 to MaxNodes.
	// Without any, Jobs get pods that stay Pending, and start-up takes half the
	// time.
	Nodes int

	// Images are paths of OCI image layouts as tar files, imported on every
	// node. Pods name them with imagePullPolicy Never or IfNotPresent.
	Images []string

	// Containerd2 gives the nodes containerd 2 and a runc that can do image volumes and
	// user namespaces, built into .cache, instead of Debian's.
	Containerd2 bool

	// APIServerArgs, ControllerManagerArgs and KubeletArgs are added to the
	// components' command lines, for instance "--feature-gates=…" or a kubelet's
	// "--eviction-hard=nodefs.available<20%".
	APIServerArgs, ControllerManagerArgs, KubeletArgs []string

	// Logf is told what is waited for; nil for silence.
	Logf func(format string, args ...any)
}

func (c Config) check() error {
	if c.Nodes < 0 || c.Nodes > MaxNodes {
		return fmt.Errorf("%d nodes: a cluster has 0 to %d", c.Nodes, MaxNodes)
	}
	for _, image := range c.Images {
		if !filepath.IsAbs(image) {
			return fmt.Errorf("image %q: the path must be absolute", image)
		}
	}
	return nil
}

func (c Config) logf(format string, args ...any) {
	if c.Logf != nil {
		c.Logf(format, args...)
	}
}
