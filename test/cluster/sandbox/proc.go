package sandbox

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// procStat returns the fields of /proc/<pid>/stat from the state on, the third
// in proc(5): the second is the command's name and may hold anything, blanks
// and parentheses too.
func procStat(pid int) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	end := bytes.LastIndexByte(data, ')')
	if end < 0 {
		return nil
	}
	return strings.Fields(string(data[end+1:]))
}

// StartTime of a process in clock ticks since boot, which with its pid names it
// for good. It is 0 when there is no such process, or only a zombie.
func StartTime(pid int) uint64 { return startTime(pid) }
