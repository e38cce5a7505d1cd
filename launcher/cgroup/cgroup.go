package cgroup

import (
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/onejob-dev/onejob/contract"
)

// Use is what this container has used until now; nil if nothing is known of that.
func Use() *contract.Use { return read(os.DirFS("/")) }

const mount = "sys/fs/cgroup"

func read(root fs.FS) *contract.Use {
	t := tree{root: root, paths: pathsOf(text(root, "proc/self/cgroup"))}
	u := contract.Use{}
	if _, err := fs.Stat(root, mount+"/cgroup.controllers"); err == nil {
		t.version2(&u)
	} else {
		t.version1(&u)
	}
	if u == (contract.Use{}) {
		return nil
	}
	return &u
}

// tree is the cgroup file system, and the process's path in the hierarchy of each
// controller; that of version 2 has no name.
type tree struct {
	root  fs.FS
	paths map[string]string
}

// pathsOf reads /proc/self/cgroup: lines of number:controllers:path.
func pathsOf(lines string) map[string]string {
	paths := map[string]string{}
	for line := range strings.Lines(lines) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(f[1], ",") {
			paths[controller] = f[2]
		}
	}
	return paths
}

// folder is the container's own in a hierarchy. A container without a cgroup namespace
// has the path of the node's tree, and its mount shows only its own part.
func (t tree) folder(hierarchy, controller, holds string) string {
	for _, dir := range []string{path.Join(hierarchy, t.paths[controller]), hierarchy} {
		if _, err := fs.Stat(t.root, path.Join(dir, holds)); err == nil {
			return dir
		}
	}
	return ""
}

// version2: the root of a node's tree has no limits, and isn't a container.
func (t tree) version2(u *contract.Use) {
	dir := t.folder(mount, "", "memory.max")
	if dir == "" {
		return
	}
	u.MemoryPeak, u.MemoryLimit = t.number(dir, "memory.peak"), t.number(dir, "memory.max")
	u.OOMKills = t.field(dir, "memory.events", "oom_kill")
	u.CPUSeconds = micros(t.field(dir, "cpu.stat", "usage_usec"))
	if f := strings.Fields(text(t.root, path.Join(dir, "cpu.max"))); len(f) == 2 {
		t.limited(u, number(f[0]), number(f[1]), t.field(dir, "cpu.stat", "nr_throttled"))
	}
	u.MemoryStalled, u.CPUStalled, u.IOStalled = t.stalled(dir, "memory"), t.stalled(dir, "cpu"), t.stalled(dir, "io")
}

// unlimited is what version 1 has for no limit, cut to the kernel's pages.
const unlimited = 1 << 62

// version1 has a hierarchy for each controller, or one for several.
func (t tree) version1(u *contract.Use) {
	if dir := t.folder(mount+"/memory", "memory", "memory.limit_in_bytes"); dir != "" {
		u.MemoryPeak = t.number(dir, "memory.max_usage_in_bytes")
		if limit := t.number(dir, "memory.limit_in_bytes"); limit < unlimited {
			u.MemoryLimit = limit
		}
		u.OOMKills = t.field(dir, "memory.oom_control", "oom_kill")
	}
	for _, hierarchy := range []string{mount + "/cpuacct", mount + "/cpu,cpuacct"} {
		if dir := t.folder(hierarchy, "cpuacct", "cpuacct.usage"); dir != "" {
			u.CPUSeconds = contract.Millis(float64(t.number(dir, "cpuacct.usage")) / 1e9)
			break
		}
	}
	for _, hierarchy := range []string{mount + "/cpu", mount + "/cpu,cpuacct"} {
		if dir := t.folder(hierarchy, "cpu", "cpu.cfs_quota_us"); dir != "" {
			t.limited(u, t.number(dir, "cpu.cfs_quota_us"), t.number(dir, "cpu.cfs_period_us"), t.field(dir, "cpu.stat", "nr_throttled"))
			break
		}
	}
}

// limited takes in the CPU limit, in microseconds of each period. The kernel's
// throttled time is a sum over the node's CPUs, and may be longer than the container
// lived; the periods are not.
func (tree) limited(u *contract.Use, quota, period, throttled int64) {
	if quota > 0 && period > 0 {
		u.CPULimit = contract.Millis(float64(quota) / float64(period))
		u.ThrottledSeconds = contract.Millis(float64(throttled) * float64(period) / 1e6)
	}
}

// stalled is a pressure file's total time of "some", in seconds.
func (t tree) stalled(dir, what string) float64 {
	for line := range strings.Lines(text(t.root, path.Join(dir, what+".pressure"))) {
		if rest, some := strings.CutPrefix(line, "some "); some {
			_, total, _ := strings.Cut(rest, "total=")
			return micros(number(strings.TrimSpace(total)))
		}
	}
	return 0
}

func (t tree) number(dir, file string) int64 {
	return number(strings.TrimSpace(text(t.root, path.Join(dir, file))))
}

// field is a value of a file with a name and a number in each line.
func (t tree) field(dir, file, name string) int64 {
	for line := range strings.Lines(text(t.root, path.Join(dir, file))) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == name {
			return number(f[1])
		}
	}
	return 0
}

// number is zero for no limit ("max", -1), and for what is no number.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

func micros(n int64) float64 { return contract.Millis(float64(n) / 1e6) }

// text is a file's, empty if it can't be read. The kernel's are small.
func text(root fs.FS, name string) string {
	f, err := root.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return ""
	}
	return string(b)
}
