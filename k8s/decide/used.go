package decide

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
)

// Used is what a container of a pod had used when it ended. The numbers are the
// container's own, and a job can write them: they are for people and for metrics, and
// drive no decision.
type Used struct {
	Container string `json:"container"`
	// Seconds is how long it ran, by the node's clock.
	Seconds float64      `json:"seconds"`
	Use     contract.Use `json:"use"`
	// OutOfMemory: the kubelet says so of its end.
	OutOfMemory bool `json:"out_of_memory,omitempty"`
}

// maxUsed bounds the containers of a pod that count.
const maxUsed = 16

// addUsed takes in what a container that has ended used. One that was killed leaves no
// numbers: then the API server's limit, where it tells one, is all that is known.
func (p *Pod) addUsed(c corev1.ContainerStatus, ours bool) {
	end := c.State.Terminated
	if end == nil || len(p.Used) == maxUsed {
		return
	}
	u, known := Used{Container: contract.Word(c.Name), OutOfMemory: end.Reason == "OOMKilled"}, false
	ran := max(0, end.FinishedAt.Sub(end.StartedAt.Time).Seconds())
	switch {
	case c.Name != contract.AgentContainer:
		if !ours || !contract.IsCommand(c.Name) {
			return // somebody else's
		}
		u.Use, known = contract.ParseUse(end.Message)
	case p.Message != nil && p.Message.Use != nil:
		u.Use, known = *p.Message.Use, true
	}
	u.limits(c.Resources)
	if !plausible(u.Use, ran) {
		u.Use, known = contract.Use{}, false
		u.limits(c.Resources)
		if c.Name == contract.AgentContainer {
			p.Message.Use = nil
		}
	}
	u.Seconds = max(0, ran-p.stayed(end.FinishedAt.Time))
	if known || u.OutOfMemory {
		p.Used = append(p.Used, u)
	}
}

// stayed is for how many seconds a container that ended then had stayed for people to look
// into it: as long as the runner had, or less if it ended before.
func (p Pod) stayed(until time.Time) float64 {
	if p.Message == nil {
		return 0
	}
	return max(0, p.Message.Held-p.EndedAt.Sub(until).Seconds())
}

// limits takes the container's limits from its status, where Kubernetes 1.33 and later have
// them: no job can write there.
func (u *Used) limits(r *corev1.ResourceRequirements) {
	if r == nil {
		return
	}
	if limit := r.Limits.Memory().Value(); limit > 0 {
		u.Use.MemoryLimit = limit
	}
	if limit := r.Limits.Cpu().AsApproximateFloat64(); limit > 0 {
		u.Use.CPULimit = contract.Millis(limit)
	}
}

// plausible reports whether a container that ran for so many seconds, by the kubelet, can
// have used that. The kernel's own counts lie within a twentieth of it, but for CPU time,
// of which each CPU of a node may give a little more than the limit in every period.
func plausible(u contract.Use, ran float64) bool {
	within := (ran + 2*clockGrain.Seconds()) * 1.05 // the kubelet's times are cut to the second
	cpus := float64(contract.MostCPUs)
	if u.CPULimit > 0 {
		cpus = min(cpus, 2*u.CPULimit+1)
	}
	aboveLimit := u.MemoryLimit > 0 && float64(u.MemoryPeak) > 1.05*float64(u.MemoryLimit)
	longest := max(u.ThrottledSeconds, u.MemoryStalled, u.CPUStalled, u.IOStalled)
	return !aboveLimit && longest <= within && u.CPUSeconds <= within*cpus
}

// UsedBy are the containers that ran a job's commands, and have ended: the agent's, unless
// the commands have containers of their own. The volumes are the pod's: the first of these
// has their count.
func (p Pod) UsedBy() []Used {
	used := slices.DeleteFunc(slices.Clone(p.Used), func(u Used) bool {
		return p.Apart == (u.Container == contract.AgentContainer)
	})
	if p.Apart && len(used) > 0 && p.Message != nil && p.Message.Use != nil {
		used[0].Use.Disk = p.Message.Use.Disk
	}
	return used
}

// usedAt is what is known of a container that ran out of memory: " at 2 GiB"; "" without
// its limit.
func (p Pod) usedAt(agent bool) string {
	for _, u := range p.Used {
		if u.OutOfMemory && u.Use.MemoryLimit > 0 && agent == (u.Container == contract.AgentContainer) {
			return " at " + Bytes(u.Use.MemoryLimit)
		}
	}
	return ""
}

// atLimit is what follows the kubelet's reason for the agent container's end.
func (p Pod) atLimit() string {
	if p.Why != "OOMKilled" {
		return ""
	}
	at := p.usedAt(true)
	if at != "" {
		at += " (raise limits.memory)"
	}
	return at
}

// The bounds beyond which what a job used is worth a line on its page.
const (
	// throttledMuch and throttledLong: a CPU limit took that part of the time.
	throttledMuch = 0.25
	throttledLong = 5 * time.Second
	// nearLimit counts only with stalledMuch, because files that the kernel keeps in
	// memory may fill it up to the limit, and harm nobody.
	nearLimit   = 0.9
	stalledMuch = 0.02
)

// Throttled is the part of its time that a container was stopped by its CPU limit.
func (u Used) Throttled() float64 { return part(u.Use.ThrottledSeconds, u.Seconds) }

// part is a share of a time, which can't be more than all of it.
func part(of, all float64) float64 {
	if all < 1 {
		return 0 // the node's clock tells whole seconds
	}
	return min(of/all, 1)
}

func (u Used) throttledTooMuch() bool {
	return u.Throttled() >= throttledMuch && u.Use.ThrottledSeconds >= throttledLong.Seconds()
}

func (u Used) shortOfMemory() bool {
	near := u.Use.MemoryLimit > 0 && float64(u.Use.MemoryPeak) >= nearLimit*float64(u.Use.MemoryLimit)
	return near && part(u.Use.MemoryStalled, u.Seconds) >= stalledMuch
}

// verdict is what a reported job's page says of what it used, if that matters.
func (p Pod) verdict() (Topic, string) {
	for _, u := range p.UsedBy() {
		topic, text := u.verdict()
		if text != "" {
			return topic.of(u.Container), text
		}
	}
	return "", ""
}

func (u Used) verdict() (Topic, string) {
	limit := "; the limit is in the queue's template or the step"
	switch {
	case u.Use.OOMKills > 0 && u.Use.MemoryLimit > 0:
		return topicOutOfMemory, fmt.Sprintf("a process of the job was killed for memory at %s (container %s): raise limits.memory%s", Bytes(u.Use.MemoryLimit), u.Container, limit)
	case u.shortOfMemory():
		return topicMemory, fmt.Sprintf("the job used %s of %s of memory at its peak, and waited for memory %s of the time (container %s): raise limits.memory%s",
			Bytes(u.Use.MemoryPeak), Bytes(u.Use.MemoryLimit), percent(part(u.Use.MemoryStalled, u.Seconds)), u.Container, limit)
	case u.throttledTooMuch():
		return topicThrottled, fmt.Sprintf("the job was throttled %s of the time by its CPU limit of %s (container %s): raise limits.cpu, or leave it out%s",
			percent(u.Throttled()), strconv.FormatFloat(u.Use.CPULimit, 'g', -1, 64), u.Container, limit)
	}
	return "", ""
}

// String is for the story of a job: what is known, in a few words.
func (u Used) String() string {
	var parts []string
	if u.Use.MemoryPeak > 0 {
		peak := Bytes(u.Use.MemoryPeak)
		if u.Use.MemoryLimit > 0 {
			peak += " of " + Bytes(u.Use.MemoryLimit)
		}
		parts = append(parts, peak+" of memory at its peak")
	}
	if u.Use.CPUSeconds > 0 {
		parts = append(parts, fmt.Sprintf("%.1f s of CPU", u.Use.CPUSeconds))
	}
	if u.Use.ThrottledSeconds > 0 {
		parts = append(parts, "throttled "+percent(u.Throttled())+" of the time")
	}
	if u.Use.Disk > 0 {
		parts = append(parts, Bytes(u.Use.Disk)+" on disk")
	}
	switch {
	case u.Use.OOMKills > 0:
		parts = append(parts, fmt.Sprintf("%d killed for memory", u.Use.OOMKills))
	case u.OutOfMemory:
		limit := "may"
		if u.Use.MemoryLimit > 0 {
			limit = "may have, which is " + Bytes(u.Use.MemoryLimit)
		}
		parts = append(parts, "more memory than it "+limit)
	}
	return strings.Join(parts, ", ")
}

func percent(part float64) string { return fmt.Sprintf("%.0f %%", part*100) }

// Bytes is an amount for people: 512 MiB, 1.9 GiB.
func Bytes(n int64) string {
	const unit = 1024
	value, name := float64(n), "bytes"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB", "PiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	digits := 0
	if value < 10 && name != "bytes" {
		digits = 1
	}
	return strings.TrimSuffix(strconv.FormatFloat(value, 'f', digits, 64), ".0") + " " + name
}
