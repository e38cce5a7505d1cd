package sandbox

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupName is the top cgroup of a slot, in every hierarchy.
func cgroupName(slot int) string { return fmt.Sprintf("onejob-%d", slot) }

// hierarchy is one mounted cgroup tree: with version 1 there is one a
// controller, with version 2 one for all, and some machines have both.
type hierarchy struct {
	mount   string
	options string
	unified bool
}

func hierarchies() ([]hierarchy, error) {
	file, err := os.Open("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var all []hierarchy
	for lines := bufio.NewScanner(file); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) >= 4 && (f[2] == "cgroup" || f[2] == "cgroup2") {
			all = append(all, hierarchy{mount: f[1], options: f[3], unified: f[2] == "cgroup2"})
		}
	}
	if len(all) == 0 {
		return nil, errors.New("no cgroup file system is mounted")
	}
	return all, nil
}

// makeCgroup makes name, which may have several parts, in every hierarchy.
func makeCgroup(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		dir := h.mount
		for part := range strings.SplitSeq(name, "/") {
			parent := dir
			if h.unified && h.mount == "/sys/fs/cgroup" {
				// A parent gives its children only the controllers it names. Best effort: what is missing, the kubelet names.
				for _, controller := range []string{"cpu", "cpuset", "memory", "pids", "io", "hugetlb"} {
					_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
				}
			}
			dir = filepath.Join(parent, part)
			if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
				return err
			}
			share(h, dir)
			if !h.unified && strings.Contains(","+h.options+",", ",cpuset,") {
				// A new cpuset is empty, and no process may enter an empty one.
				for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
					value, err := os.ReadFile(filepath.Join(parent, file))
					if err != nil {
						return err
					}
					if err := os.WriteFile(filepath.Join(dir, file), value, 0o644); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// share gives all pods of a node together the weight that a node's have beside its system:
// 1024 a CPU. A new cgroup has that of one single process, so that on a machine with other
// work the pods get next to nothing, and what the kubelet does for them gets the rest. Best
// effort: without it pods are slow.
func share(h hierarchy, dir string) {
	switch cpus := runtime.NumCPU(); {
	case !h.unified && strings.Contains(","+h.options+",", ",cpu,"):
		_ = os.WriteFile(filepath.Join(dir, "cpu.shares"), []byte(strconv.Itoa(1024*cpus)), 0o644)
	case h.unified:
		_ = os.WriteFile(filepath.Join(dir, "cpu.weight"), []byte(strconv.Itoa(min(100*cpus, 10000))), 0o644)
	}
}

// removeCgroups kills what still runs in the cgroup name and removes it with
// all below it, in every hierarchy.
func removeCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(5 * time.Second)
	for {
		var errs []error
		for _, h := range all {
			errs = append(errs, removeTree(filepath.Join(h.mount, name)))
		}
		if err = errors.Join(errs...); err == nil || time.Now().After(deadline) {
			return err
		}
		for _, pid := range cgroupProcesses(all, name) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// removeTree removes directories from the bottom up; the files in a cgroup are
// the kernel's and can't be removed.
func removeTree(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if entry.IsDir() {
			if err := removeTree(filepath.Join(dir, entry.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: dir, Err: err}
	}
	return nil
}

// cgroupProcesses lists the processes in name and all below it.
func cgroupProcesses(all []hierarchy, name string) []int {
	var pids []int
	for _, h := range all {
		_ = filepath.WalkDir(filepath.Join(h.mount, name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return nil //nolint:nilerr // a cgroup that has just gone has no processes
			}
			if d.Name() != "cgroup.procs" {
				return nil
			}
			data, _ := os.ReadFile(path)
			for field := range strings.FieldsSeq(string(data)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
					pids = append(pids, pid)
				}
			}
			return nil
		})
	}
	return pids
}
