package cluster

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// containerdConfig is for containerd 1.6 and for 2.x, which converts it.
//
//   - restrict_oom_score_adj: root may lack CAP_SYS_RESOURCE, and runc then dies
//     of lowering a score, with "can't get final child's PID from pipe: EOF".
//   - netns_mounts_under_state_dir: else two nodes share /var/run/netns.
//   - the opt plugin is off as it makes /opt/containerd on the machine, and so is NRI, which
//     2.x has and which would make a socket in /var/run.
const containerdConfig = `version = 2
root = %[1]q
state = %[2]q
oom_score = 0
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[grpc]
  address = %[3]q

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = %[4]q
  disable_tcp_service = true
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = %[5]q
    conf_dir = %[6]q
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = %[7]q

[plugins."io.containerd.nri.v1.nri"]
  disable = true
`

// memory is a tmpfs in the sandbox. Images and etcd's data are there: containerd
// syncs every blob and every record that it writes, and on a slow disk a cluster
// would wait for nothing else. What pods write, but for their own root, is on
// the disk, as memory would be charged to them.
const memory = "/run/onejob"

// startRuntime starts the node's containerd and returns when it answers.
func (n *node) startRuntime(ctx context.Context) error {
	cni := filepath.Join(n.dir, "cni")
	config := filepath.Join(n.dir, "containerd.toml")
	if err := os.MkdirAll(cni, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(cni, "10-onejob.conflist"), []byte(n.cluster.cniConfig(n.number, n.dir)), 0o600); err != nil {
		return err
	}
	text := fmt.Sprintf(containerdConfig, filepath.Join(memory, n.name, "images"), filepath.Join(memory, n.name, "state"), n.socket(), image.StubName, cniDir, cni, n.registries())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	// In a cgroup of its own, which the shims inherit: that is how KillNode finds them.
	cgroup, err := n.cluster.sandbox.MakeCgroup(n.name + "-runtime")
	if err != nil {
		return err
	}
	program, err := n.cluster.containerd()
	if err != nil {
		return err
	}
	process, err := n.cluster.sandbox.Start(sandbox.Command{
		Name:    n.name + "-containerd",
		Argv:    []string{program, "--config", config},
		Env:     n.cluster.runtimeEnvironment(),
		Cgroups: []string{n.cluster.sandbox.CgroupFile(cgroup)},
	})
	if err != nil {
		return err
	}
	n.runtimeCgroup = cgroup
	return until(ctx, process, "waiting for containerd", func(ctx context.Context) error {
		var dialer net.Dialer
		connection, err := dialer.DialContext(ctx, "unix", n.socket())
		if err == nil {
			connection.Close()
		}
		return err
	})
}

// registries has a directory for each registry that isn't found by its name.
func (n *node) registries() string { return filepath.Join(n.dir, "registries") }

// Registry has every node ask a server at an address, in plain HTTP, for the
// images of a registry of that name. It holds for pulls that begin later.
func (c *Cluster) Registry(name, address string) error {
	for _, node := range c.nodes {
		dir := filepath.Join(node.registries(), name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		text := fmt.Appendf(nil, "[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+address)
		if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) socket() string { return filepath.Join(n.dir, "containerd.sock") }

func (n *node) importImages(ctx context.Context, images []string) error {
	program, err := find("ctr")
	if err != nil {
		return err
	}
	for _, path := range images {
		err := n.cluster.sandbox.Run(ctx, sandbox.Command{
			Name: n.name + "-import",
			Argv: []string{program, "--address", n.socket(), "--namespace", "k8s.io", "images", "import", path},
			Env:  environment(),
		})
		if err != nil {
			return fmt.Errorf("importing %s: %w", path, err)
		}
	}
	return nil
}

// TagImage gives an image that every node has another name.
func (c *Cluster) TagImage(ctx context.Context, name, other string) error {
	program, err := find("ctr")
	if err != nil {
		return err
	}
	for _, node := range c.nodes {
		err := c.sandbox.Run(ctx, sandbox.Command{
			Name: node.name + "-tag", Env: environment(),
			Argv: []string{program, "--address", node.socket(), "--namespace", "k8s.io", "images", "tag", name, other},
		})
		if err != nil {
			return fmt.Errorf("naming %s: %w", name, err)
		}
	}
	return nil
}

// ImportImage imports the OCI image layout in the tar file at path, which must
// be absolute, on every node.
func (c *Cluster) ImportImage(ctx context.Context, path string) error {
	for _, node := range c.nodes {
		if err := node.importImages(ctx, []string{path}); err != nil {
			return err
		}
	}
	return nil
}
