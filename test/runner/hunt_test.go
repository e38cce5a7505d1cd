package runner_test

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
)

// huntEnv, when set, makes the test binary the program that looks for a secret:
// it names a file that holds the secret backwards, so that neither the
// environment nor the file is what is looked for.
const huntEnv = "ONEJOB_TEST_HUNT"

// huntControl is a secret that the hunt must find, or it proves nothing.
const huntControl = "HUNT_CONTROL=a-secret-that-is-there-to-be-found"

// hunt looks for the secret wherever a process of this user can look, and says
// what it saw.
func hunt(w io.Writer) int {
	backwards, err := os.ReadFile(os.Getenv(huntEnv))
	if err != nil {
		fmt.Fprintln(w, "hunt:", err)
		return 1
	}
	slices.Reverse(backwards)
	control := exec.Command("sleep", "60")
	control.Env = []string{huntControl}
	if err := control.Start(); err != nil {
		fmt.Fprintln(w, "hunt:", err)
		return 1
	}
	defer control.Wait()
	defer control.Process.Kill()

	h := hunter{w: w, secret: backwards}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		h.process(proc)
	}
	for _, dir := range append([]string{"/tmp", "/dev/shm", "/var/tmp", "/run"}, strings.Fields(os.Getenv("HUNT_DIRS"))...) {
		filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				h.file("file", path)
			}
			return nil
		})
	}
	fmt.Fprintf(w, "hunted environ=%d mem=%d file=%d control=%v\n", h.read["environ"], h.read["mem"], h.read["file"], h.control)
	return 0
}

type hunter struct {
	w       io.Writer
	secret  []byte
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
	if h.read == nil {
		h.read = map[string]int{}
	}
	h.read[kind]++
	if bytes.Contains(b, h.secret) {
		fmt.Fprintln(h.w, "FOUND", where)
	}
	if kind != "file" && bytes.Contains(b, []byte(huntControl)) && !slices.Contains(h.control, kind) {
		h.control = append(h.control, kind)
		slices.Sort(h.control)
	}
}
