package cluster

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// Cut is a broken way between pods and a server: no packet gets through.
type Cut struct {
	// From is a pod's address, or what PodsOf returns; empty for all pods.
	From string
	// To is the server's address, and Port its TCP port. APIServer is that of
	// the service "kubernetes", HostAddress this machine's.
	To   string
	Port int
	// Refuse answers with a reset, as a machine does where nobody listens; else
	// packets vanish without a word.
	Refuse bool
}

// APIServer is the address and APIServerPort the port at which pods reach the
// API server.
const (
	APIServer     = serviceAddress
	APIServerPort = 443
)

var cuts atomic.Int64

// Cut breaks a way at once, for connections that exist too. mend undoes it; it
// may be called when the context that broke it has ended.
func (c *Cluster) Cut(ctx context.Context, cut Cut) (mend func(context.Context) error, err error) {
	from := cut.From
	if from == "" {
		from = c.PodCIDR
	}
	verdict := []string{"DROP"}
	if cut.Refuse {
		verdict = []string{"REJECT", "--reject-with", "tcp-reset"}
	}
	// The API server is in the pods' own network, at the nodes' addresses too,
	// everything else behind it. The comment makes the rule one of its kind.
	chain := "FORWARD"
	if cut.To == APIServer || slices.ContainsFunc(c.nodes, func(n *node) bool { return n.address == cut.To }) {
		chain = "INPUT"
	}
	rule := append([]string{
		chain, "--source", from, "--destination", cut.To, "--protocol", "tcp", "--destination-port", fmt.Sprint(cut.Port),
		"--match", "comment", "--comment", fmt.Sprintf("cut-%d", cuts.Add(1)), "--jump",
	}, verdict...)
	if err := c.iptables(ctx, append([]string{"--insert"}, rule...)); err != nil {
		return nil, fmt.Errorf("cutting %s off from %s:%d: %w", from, cut.To, cut.Port, err)
	}
	return func(ctx context.Context) error { return c.iptables(ctx, append([]string{"--delete"}, rule...)) }, nil
}

// CutKubelet is Cut between a node's kubelet and the API server: the node's pods
// go on, and nobody hears of them.
func (c *Cluster) CutKubelet(ctx context.Context, name string, refuse bool) (mend func(context.Context) error, err error) {
	n, err := c.node(name)
	if err != nil {
		return nil, err
	}
	// It comes from the bridge's address, among the pods'; no other client uses the node's.
	return c.Cut(ctx, Cut{To: n.address, Port: APIServerPort, Refuse: refuse})
}

func (c *Cluster) iptables(ctx context.Context, args []string) error {
	program, err := find("iptables")
	if err != nil {
		return err
	}
	return c.sandbox.Run(ctx, sandbox.Command{
		Name: "iptables", Argv: slices.Concat([]string{program, "--wait"}, args), Env: environment(),
	})
}

// PodsOf returns the addresses of a node's pods, for Cut.From.
func (c *Cluster) PodsOf(name string) (string, error) {
	n, err := c.node(name)
	if err != nil {
		return "", err
	}
	return c.sandbox.Addresses.PodsOf(n.number), nil
}
