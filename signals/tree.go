package signals

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// KillByEnv sends SIGKILL to every process whose environment had the entry
// ("NAME=value") when it was started, except our own, and returns the number of
// processes. It reaches processes that left their process group and parent, but not
// those that cleared their environment or belong to another user.
func KillByEnv(entry string) int {
	killed := 0
	for range 10 { // a process may fork while we look; the new one has the entry too
		n := 0
		paths, _ := filepath.Glob("/proc/[0-9]*/environ") //nolint:errcheck // the pattern is good
		for _, path := range paths {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil || pid == os.Getpid() {
				continue
			}
			environ, err := os.ReadFile(path)
			if err != nil || !hasEntry(environ, entry) {
				continue
			}
			if syscall.Kill(pid, syscall.SIGKILL) == nil {
				n++
			}
		}
		if killed += n; n == 0 {
			break
		}
	}
	return killed
}

func hasEntry(environ []byte, entry string) bool {
	for e := range bytes.SplitSeq(environ, []byte{0}) {
		if string(e) == entry {
			return true
		}
	}
	return false
}
