//go:build linux

package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// traces of a sandbox by which to tell whether anything of it is left.
type traces struct {
	dir     string
	slot    int
	init    mark
	pids    string // the pid namespace, which all its processes are in
	keepers []int
}

func tracesOf(t *testing.T, dir string) *traces {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "init.json"))
	if err != nil {
		t.Fatal(err)
	}
	var m mark
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	r := &traces{dir: dir, init: m}
	if _, err := fmt.Sscan(filepath.Base(dir), &r.slot); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"pid", "mnt", "net", "ipc"} {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", m.Init, kind))
		if err != nil {
			t.Fatal(err)
		}
		if own, _ := os.Readlink("/proc/self/ns/" + kind); own == link {
			t.Fatalf("init has our %s namespace", kind)
		}
		if kind == "pid" {
			r.pids = link
		}
	}
	// As long as it is open, no other sandbox's namespace gets its number.
	held, err := os.Open(fmt.Sprintf("/proc/%d/ns/pid", m.Init))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = held.Close() })
	var parent int
	if _, err := fmt.Sscan(procStat(m.Init)[1], &parent); err != nil {
		t.Fatal(err)
	}
	r.keepers = []int{parent}
	return r
}

// processes lists who is in it; a zombie isn't.
func (r *traces) processes() []string {
	var found []string
	links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
	for _, path := range links {
		if link, err := os.Readlink(path); err == nil && link == r.pids {
			found = append(found, path)
		}
	}
	return found
}

// left is what there is of it; a slot that another test's sandbox has by now is
// that one's.
func (r *traces) left() []string {
	found := r.processes()
	var now mark
	if data, err := os.ReadFile(filepath.Join(r.dir, "init.json")); err == nil && json.Unmarshal(data, &now) == nil && now != r.init {
		return found
	}
	for _, pattern := range []string{
		r.dir,
		"/sys/fs/cgroup/*/" + cgroupName(r.slot),
		"/sys/fs/cgroup/" + cgroupName(r.slot),
		fmt.Sprintf("/sys/class/net/onejob%d", r.slot),
	} {
		paths, _ := filepath.Glob(pattern)
		found = append(found, paths...)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, r.dir+"/") || strings.Contains(line, " /mnt ") {
			found = append(found, line)
		}
	}
	return found
}

func (r *traces) gone(t *testing.T, within time.Duration) {
	t.Helper()
	begin := time.Now()
	for {
		left := r.left()
		if len(left) == 0 {
			t.Logf("all gone after %s", time.Since(begin).Round(time.Millisecond))
			return
		}
		if time.Since(begin) > within {
			t.Fatalf("left after %s: %v", within, left)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
