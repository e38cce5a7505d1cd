package cluster

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// PodProcess is a process of a pod's container.
type PodProcess struct {
	// PID is as this machine counts.
	PID int
	// Argv is its command line.
	Argv []string
}

// PodProcesses lists what runs in the containers of the pod with the given UID,
// oldest first: those of this cluster, whatever else is on the machine.
func (c *Cluster) PodProcesses(uid types.UID) ([]PodProcess, error) {
	var found []PodProcess
	for _, n := range c.nodes {
		pids, err := c.sandbox.Processes(n.cgroup, "pod"+string(uid))
		if err != nil {
			return nil, err
		}
		for _, pid := range pids {
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if err != nil || len(data) == 0 {
				continue // gone by now, or a zombie
			}
			found = append(found, PodProcess{pid, strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")})
		}
	}
	slices.SortFunc(found, func(a, b PodProcess) int { return a.PID - b.PID })
	return found, nil
}
