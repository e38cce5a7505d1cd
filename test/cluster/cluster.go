package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// Cluster is a running Kubernetes. Its methods may be called from several
// goroutines.
type Cluster struct {
	// KubeconfigPath is a file for kubectl and its like, with an admin's rights.
	// It goes with the cluster.
	KubeconfigPath string
	// NodeNames are the nodes' names in Kubernetes.
	NodeNames []string
	// HostAddress is this machine as pods see it: a server that listens on
	// HostAddress:port (or on all addresses) is reached there.
	HostAddress string
	// PodCIDR holds all pods' addresses, which this machine has a route to.
	PodCIDR string
	// LogDir has one log file for each component. It goes with the cluster.
	LogDir string

	config   Config
	binaries *binaries
	sandbox  *sandbox.Sandbox
	ca       *authority
	admin    *rest.Config
	client   *kubernetes.Clientset
	plane    *controlPlane
	nodes    []*node
	close    func() error
}

// Run starts a cluster and returns when it is ready for Jobs: the API server
// answers, every node is Ready and the images are imported. Close ends it; so
// does the end of this process. When ctx ends before it is ready, nothing of it
// is left.
func Run(ctx context.Context, config Config) (_ *Cluster, err error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if err := Check(config.Nodes > 0); err != nil {
		return nil, err
	}
	config.logf("building what the cluster runs, unless that was done before")
	programs, err := build(ctx)
	if err != nil {
		return nil, err
	}
	if config.Containerd2 {
		if programs.containerd, err = buildContainerd2(ctx); err != nil {
			return nil, err
		}
	}
	if config.Nodes > 0 {
		pause, err := image.Stub(ctx)
		if err != nil {
			return nil, err
		}
		config.Images = append([]string{pause}, config.Images...)
	}

	box, err := sandbox.Start(ctx, programs.keeper)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		HostAddress: box.Addresses.Host,
		PodCIDR:     box.Addresses.Pods,
		LogDir:      filepath.Join(box.Dir, "logs"),
		config:      config,
		binaries:    programs,
		sandbox:     box,
		close:       sync.OnceValue(box.Close),
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a cluster: %w", err), c.Close())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.connect(ctx); err != nil {
		return err
	}
	if err := c.makeIdentities(); err != nil {
		return err
	}
	for n := range c.config.Nodes {
		c.nodes = append(c.nodes, c.newNode(n))
		c.NodeNames = append(c.NodeNames, c.nodes[n].name)
	}

	// etcd, the API server and the containerds come up side by side; whatever
	// talks to the API server waits until it answers. A kubelet waits for its
	// containerd too: it dies of a socket that isn't there.
	answering := make(chan struct{})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := c.plane.start(ctx); err != nil {
			return err
		}
		close(answering)
		return c.plane.ready(ctx)
	})
	for _, node := range c.nodes {
		running := make(chan struct{})
		group.Go(func() error {
			if err := node.startRuntime(ctx); err != nil {
				return err
			}
			close(running)
			return node.importImages(ctx, c.config.Images)
		})
		group.Go(func() error {
			for _, event := range []chan struct{}{answering, running} {
				select {
				case <-event:
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			}
			if err := node.startKubelet(ctx); err != nil {
				return err
			}
			return node.ready(ctx)
		})
	}
	return group.Wait()
}

// Close ends every process of the cluster and removes its files. It may be
// called more than once.
func (c *Cluster) Close() error { return c.close() }

// Ended is closed when the cluster is gone, by Close or otherwise.
func (c *Cluster) Ended() <-chan struct{} { return c.sandbox.Ended() }

// Client returns a client with an admin's rights and no rate limit.
func (c *Cluster) Client() kubernetes.Interface { return c.client }

// RESTConfig returns a copy of the configuration of an admin's client, with no
// rate limit on the client's side.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// until calls done every 25 ms until it returns nil, and gives the last error
// when ctx ends first or when process has ended, if one is given.
func until(ctx context.Context, process *sandbox.Process, what string, done func(context.Context) error) error {
	var ended <-chan struct{}
	if process != nil {
		ended = process.Done()
	}
	for {
		err := done(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ended:
			return fmt.Errorf("%s: %s has ended: %s", what, process.Name, process.Tail(2000))
		case <-ctx.Done():
			return fmt.Errorf("%s: %w; last: %w", what, context.Cause(ctx), err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}
