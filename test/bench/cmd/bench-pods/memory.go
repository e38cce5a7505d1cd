package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
)

// works is how long a command works before the runner is looked at.
const works = 10 * time.Second

// memory (c): what the runner's container takes while the command's works.
func (b *bench) memory(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not within %s", patience))
	defer cancel()
	ids, err := b.step(1, "", image.BusyboxName, says+"; sleep 15")
	if err != nil {
		return err
	}
	sim := b.on.Simulator
	if err := sim.Wait(ctx, func() bool { log, _ := sim.Log(ids[0]); return bytes.Contains(log, []byte(word)) }); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(works):
	}
	pods, err := b.on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + ids[0]})
	if err != nil || len(pods.Items) != 1 {
		return fmt.Errorf("the job's pod isn't there: %w", err)
	}
	return b.weigh(&pods.Items[0])
}

func (b *bench) weigh(pod *corev1.Pod) error {
	for _, c := range pod.Status.ContainerStatuses {
		_, id, _ := strings.Cut(c.ContainerID, "://")
		dir, err := cgroup(id)
		if err != nil {
			return err
		}
		stat, err := numbersIn(filepath.Join(dir, "memory.stat"))
		if err != nil {
			return err
		}
		own := stat["total_rss"] + stat["anon"] // cgroup v1 or v2
		limit := noBar
		if c.Name == contract.AgentContainer {
			limit = atMost(20)
		}
		b.report.add("c", "memory of the container "+c.Name+", its own", mb(own), "MB", limit)
		b.report.add("c", "  with the programs' pages that it was first to read", mb(own+stat["total_cache"]+stat["file"]), "MB", noBar)
		text, err := processes(dir)
		if err != nil {
			return err
		}
		b.report.note("container %s: %s", c.Name, text)
	}
	return nil
}

// cgroup finds a container's.
func cgroup(id string) (dir string, err error) {
	err = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), id) {
			if _, missing := os.Stat(filepath.Join(path, "memory.stat")); missing == nil {
				dir = path
				return fs.SkipAll
			}
		}
		return nil // others come and go meanwhile
	})
	if err == nil && dir == "" {
		err = fmt.Errorf("container %s has no cgroup of its memory", id)
	}
	return dir, err
}

// numbersIn reads a file of lines of a name and a number.
func numbersIn(path string) (map[string]int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	n := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) >= 2 {
			n[strings.TrimSuffix(fields[0], ":")], _ = strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return n, nil
}

// processes are a cgroup's, each with its own memory and the proportional share of what
// it shares.
func processes(dir string) (string, error) {
	pids, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return "", err
	}
	var all []string
	for _, pid := range strings.Fields(string(pids)) {
		command, err := os.ReadFile("/proc/" + pid + "/cmdline")
		if err != nil {
			continue // it has ended
		}
		argv := strings.Split(string(command), "\x00")
		rollup, err := numbersIn("/proc/" + pid + "/smaps_rollup")
		if err != nil {
			continue
		}
		name := filepath.Base(argv[0])
		if len(argv) > 2 {
			name += " " + argv[1]
		}
		all = append(all, fmt.Sprintf("%s %.1f MB (Pss %.1f)", name, float64(rollup["Anonymous"])/1000, float64(rollup["Pss"])/1000))
	}
	return strings.Join(all, ", "), nil
}

func mb(n int64) float64 { return float64(n) / 1e6 }
