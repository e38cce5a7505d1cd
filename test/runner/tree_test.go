package runner_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// pids returns the processes that work below dir, by the name of their program.
// Each runner of a test has a directory of its own, in which its processes and
// its job's stay.
func pids(dir string) map[int]string {
	found := map[int]string{}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		cwd, err := os.Readlink(link)
		if err != nil || cwd != dir && !strings.HasPrefix(cwd, dir+"/") {
			continue
		}
		proc := filepath.Dir(link)
		comm, err := os.ReadFile(filepath.Join(proc, "comm"))
		if pid, bad := strconv.Atoi(filepath.Base(proc)); err == nil && bad == nil {
			found[pid] = strings.TrimSpace(string(comm))
		}
	}
	return found
}

// named returns the PIDs of a runner's processes of that name.
func (p *process) named(comm string) []int {
	var list []int
	for pid, name := range pids(p.dir) {
		if name == comm {
			list = append(list, pid)
		}
	}
	return list
}

// gone waits until nothing of the runner or its job is left.
func (p *process) gone() {
	p.l.Helper()
	p.l.await("the processes of the runner and its job to end", func() bool { return len(pids(p.dir)) == 0 })
}
