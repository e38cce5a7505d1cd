package contract

import (
	"encoding/json"
	"math"
)

// Use is what a container has used since it began, as its cgroup counted it. Zero stands
// for nothing, and for what isn't known.
type Use struct {
	// MemoryPeak is in bytes. Files that the kernel keeps in memory count, as they do
	// for the limit.
	MemoryPeak int64 `json:"memory_peak,omitempty"`
	// MemoryLimit is in bytes; zero if there is none.
	MemoryLimit int64 `json:"memory_limit,omitempty"`
	// OOMKills counts the processes that the kernel killed at the limit.
	OOMKills   int64   `json:"oom_kills,omitempty"`
	CPUSeconds float64 `json:"cpu_seconds,omitempty"`
	// CPULimit is in CPUs; zero if there is none.
	CPULimit float64 `json:"cpu_limit,omitempty"`
	// ThrottledSeconds is the time of the kernel's periods (100 ms, as a rule) in which
	// the container was stopped because it had used up its CPU limit.
	ThrottledSeconds float64 `json:"throttled_seconds,omitempty"`
	// MemoryStalled, CPUStalled and IOStalled are the times in which something waited for
	// that (the kernel's pressure, "some"), in seconds. With cgroups of version 1 there
	// are none.
	MemoryStalled float64 `json:"memory_stalled_seconds,omitempty"`
	CPUStalled    float64 `json:"cpu_stalled_seconds,omitempty"`
	IOStalled     float64 `json:"io_stalled_seconds,omitempty"`
	// Disk is what the pod's emptyDir volumes on the node's disk had in them at the end, in
	// bytes, of those that the runner has.
	Disk int64 `json:"disk_bytes,omitempty"`
}

// The most that any machine has: a job can write its message.
const (
	mostMemory  = 1 << 45
	mostDisk    = 1 << 50
	mostCount   = 1 << 31
	mostSeconds = 1e9
	// MostCPUs bounds a container's CPUs.
	MostCPUs = 4096
)

// UnmarshalJSON takes what can be true: a number out of all bounds isn't known, rather than
// large. It never fails, because the rest of a message counts without it.
func (u *Use) UnmarshalJSON(b []byte) error {
	type plain Use
	var in plain
	if json.Unmarshal(b, &in) != nil {
		in = plain{}
	}
	*u = Use(in)
	for n, most := range map[*int64]int64{&u.MemoryPeak: mostMemory, &u.MemoryLimit: mostMemory, &u.OOMKills: mostCount, &u.Disk: mostDisk} {
		if *n < 0 || *n > most {
			*n = 0
		}
	}
	for s, most := range map[*float64]float64{&u.CPUSeconds: mostSeconds, &u.CPULimit: MostCPUs, &u.ThrottledSeconds: mostSeconds, &u.MemoryStalled: mostSeconds, &u.CPUStalled: mostSeconds, &u.IOStalled: mostSeconds} {
		if *s = Millis(*s); *s < 0 || *s > most {
			*s = 0
		}
	}
	return nil
}

// Millis rounds seconds to the millisecond, as they are in messages.
func Millis(seconds float64) float64 { return math.Round(seconds*1000) / 1000 }

// UseMessage is the termination message of a container that ran a step's command for the
// runner: only what it used. It has no outcome, so it is no Message.
type UseMessage struct {
	Contract int  `json:"contract"`
	Use      *Use `json:"use"`
}

// ParseUse reads a UseMessage. The container runs somebody else's command, which can write
// the text as well: the numbers are for people, and nothing is decided by them.
func ParseUse(text string) (Use, bool) {
	if text == "" || len(text) > MaxMessage {
		return Use{}, false
	}
	var m UseMessage
	if json.Unmarshal([]byte(text), &m) != nil || m.Contract <= 0 || m.Use == nil {
		return Use{}, false
	}
	return *m.Use, *m.Use != Use{}
}
