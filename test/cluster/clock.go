package cluster

import (
	"errors"
	"io/fs"
	"slices"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/test/clock"
)

// SetAPIServerClock sets the API server's wall clock to a skew from the machine's. A
// server that is started later has the machine's again.
func (c *Cluster) SetAPIServerClock(skew time.Duration) error {
	c.plane.mutex.Lock()
	defer c.plane.mutex.Unlock()
	if c.plane.apiserver == nil {
		return errors.New("the API server is stopped")
	}
	pid, err := c.plane.apiserver.PID()
	if err != nil {
		return err
	}
	return clock.Set(pid, skew)
}

// SetNodeClock sets the wall clock of all that runs on a node now: its kubelet, its
// containerd and its containers. What is started later has the machine's.
func (c *Cluster) SetNodeClock(name string, skew time.Duration) error {
	node, err := c.node(name)
	if err != nil {
		return err
	}
	pids := slices.Concat(c.sandbox.InCgroup(node.runtimeCgroup), c.sandbox.InCgroup(node.cgroup))
	node.mutex.Lock()
	defer node.mutex.Unlock()
	if node.kubelet != nil {
		if pid, err := node.kubelet.PID(); err == nil {
			pids = append(pids, pid)
		}
	}
	for _, pid := range pids {
		err := clock.Set(pid, skew)
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH)
		if err != nil && !gone {
			return err
		}
	}
	return nil
}
