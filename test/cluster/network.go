package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

const (
	bridge         = "cni0"
	serviceCIDR    = "10.96.0.0/16"
	serviceAddress = "10.96.0.1" // of the service "kubernetes", the first of serviceCIDR
)

// connect makes the network inside of the sandbox: one bridge for all nodes and
// pods, and the service "kubernetes" as a local address, which saves kube-proxy.
// There is no default route, so nothing in it reaches further than this machine.
func (c *Cluster) connect(ctx context.Context) error {
	a := c.sandbox.Addresses
	// A bridge takes its ports' lowest address unless it has one of its own, and pods would lose their gateway at each change.
	lines := []string{
		"link set lo up",
		"address add " + serviceAddress + "/32 dev lo",
		"address add " + a.Inside + "/30 dev eth0",
		"link set eth0 up",
		"link add " + bridge + " address 0a:58:0a:58:00:01 type bridge",
		"address add " + a.Bridge + "/20 dev " + bridge,
	}
	for n := range c.config.Nodes {
		address, _, _ := a.Node(n)
		lines = append(lines, "address add "+address+"/20 dev "+bridge)
	}
	lines = append(lines, "link set "+bridge+" up")

	batch := filepath.Join(c.sandbox.Dir, "network")
	if err := os.WriteFile(batch, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	// Root of a user namespace passes through its node's directory.
	script := fmt.Sprintf("mkdir -p %s/etcd && chmod 700 %[1]s/etcd && for n in $(seq 0 $((%d-1))); do mkdir -m 711 %[1]s/node-$n; done && ip -batch %[3]s && echo 1 > /proc/sys/net/ipv4/ip_forward", memory, c.config.Nodes, batch)
	return c.sandbox.Run(ctx, sandbox.Command{
		Name: "network", Argv: []string{"/bin/sh", "-c", script}, Env: environment(),
	})
}

// environment of everything that runs in the sandbox: none of ours, where
// tokens may be.
func environment() []string {
	return []string{"PATH=" + searchPath + ":" + cniDir, "HOME=/root", "LANG=C.UTF-8"}
}

// cniConfig is the network configuration of node n's pods: ports of the bridge,
// with addresses from the node's own range.
func (c *Cluster) cniConfig(n int, dir string) string {
	a := c.sandbox.Addresses
	_, first, last := a.Node(n)
	return fmt.Sprintf(`{
  "cniVersion": "0.4.0",
  "name": "onejob",
  "plugins": [{
    "type": "bridge",
    "bridge": %q,
    "hairpinMode": true,
    "ipam": {
      "type": "host-local",
      "dataDir": %q,
      "ranges": [[{"subnet": %q, "rangeStart": %q, "rangeEnd": %q, "gateway": %q}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}
`, bridge, filepath.Join(dir, "addresses"), a.Pods, first, last, a.Bridge)
}
