// Package hunt looks for secrets wherever a process of this user can look: the
// tests run it as a job, to show that there is nothing to be found.
package hunt

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// control is a secret that the hunt must find, or it proves nothing.
const control = "HUNT_CONTROL=a-secret-that-is-there-to-be-found"

// Backwards turns a secret round, so that what the hunter is told, in a file or
// in the environment, is not itself what it looks for.
func Backwards(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// Run hunts for secrets in every process but its own and in every file under
// the usual places and dirs that was changed since the secrets were made: a
// developer's /tmp may hold gigabytes. It says FOUND and where for each that it sees, for
// each of our processes whether it is hidden, and at last how much it has read
// and where it saw the control.
func Run(w io.Writer, secrets []string, made time.Time, dirs ...string) error {
	bait := exec.Command("sleep", "60")
	bait.Env = []string{control}
	if err := bait.Start(); err != nil {
		return err
	}
	defer bait.Wait()
	defer bait.Process.Kill()

	h := hunter{w: w, read: map[string]int{}}
	for _, s := range secrets {
		h.secrets = append(h.secrets, []byte(s))
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		h.process(proc)
	}
	for _, dir := range append([]string{"/tmp", "/dev/shm", "/var/tmp", "/run"}, dirs...) {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil && !info.ModTime().Before(made) {
					h.file("file", path)
				}
			}
			return nil
		})
	}
	fmt.Fprintf(w, "hunted environ=%d mem=%d file=%d control=%v\n", h.read["environ"], h.read["mem"], h.read["file"], h.control)
	return nil
}

type hunter struct {
	w       io.Writer
	secrets [][]byte
	read    map[string]int
	control []string // where the control was found
}

// process looks at all that /proc shows of one process, this one excepted.
func (h *hunter) process(proc string) {
	pid, err := strconv.Atoi(filepath.Base(proc))
	if err != nil || pid == os.Getpid() {
		return
	}
	comm, _ := os.ReadFile(filepath.Join(proc, "comm"))
	name := strings.TrimSpace(string(comm))
	hidden := true
	for _, entry := range []string{"environ", "cmdline", "auxv", "maps"} {
		if h.file(entry, filepath.Join(proc, entry)) && entry == "environ" {
			hidden = false
		}
	}
	if h.memory(proc) {
		hidden = false
	}
	if fds, err := os.ReadDir(filepath.Join(proc, "fd")); err == nil {
		hidden = false
		for _, fd := range fds {
			path := filepath.Join(proc, "fd", fd.Name())
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				h.file("file", path)
			}
		}
	}
	if strings.HasPrefix(name, "onejob-") {
		fmt.Fprintf(h.w, "%s hidden=%v\n", name, hidden)
	}
}

// file looks into a file, and reports whether it could be read.
func (h *hunter) file(kind, path string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	h.look(kind, path, b)
	return true
}

// memory looks into a process's memory.
func (h *hunter) memory(proc string) bool {
	mem, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return false
	}
	defer mem.Close()
	maps, err := os.Open(filepath.Join(proc, "maps"))
	if err != nil {
		return false
	}
	defer maps.Close()
	any := false
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var perms string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &perms); n != 3 || perms[0] != 'r' || perms[1] != 'w' || to-from > 256<<20 {
			continue
		}
		buf := make([]byte, to-from)
		n, _ := mem.ReadAt(buf, from)
		if n > 0 {
			any = true
			h.look("mem", proc+"/mem", buf[:n])
		}
	}
	return any
}

func (h *hunter) look(kind, where string, b []byte) {
	h.read[kind]++
	for i, secret := range h.secrets {
		if bytes.Contains(b, secret) {
			fmt.Fprintf(h.w, "FOUND secret %d in %s\n", i, where)
		}
	}
	if kind != "file" && bytes.Contains(b, []byte(control)) && !slices.Contains(h.control, kind) {
		h.control = append(h.control, kind)
		slices.Sort(h.control)
	}
}
