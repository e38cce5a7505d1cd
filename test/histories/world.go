package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// note adds a line to the trace.
func (h *history) note(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked(format, args...)
}

func (h *history) noteLocked(format string, args ...any) {
	h.trace = append(h.trace, fmt.Sprintf("%8.3fs  ", time.Since(h.began).Seconds())+fmt.Sprintf(format, args...))
}

func (h *history) truth(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	f()
}

// sleep is false when the history ends first, or stop does.
func (h *history) sleep(d time.Duration, stop <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-stop:
		return false
	case <-h.ctx.Done():
		return false
	}
}

// troubled: the time of trouble isn't over. Callers hold h.mu.
func (h *history) troubled() bool { return !h.calm }

func (h *history) tokenRefused() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.refusing && h.troubled()
}

// excuse notes why a job may end without having run to its end. Callers hold h.mu.
func (h *history) excuse(id contract.JobID, why string) { h.excuses[id] = append(h.excuses[id], why) }

// excuseRun: whoever ends a pod that runs its job ends the job.
func (h *history) excuseRun(p *hpod, why string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.excuse(p.id, why)
}

func (h *history) pending(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.onTheWay += n
}

// count numbers the requests of a process by their names.
func (h *history) count(s *instance, what string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	s.calls[what]++
	return s.calls[what]
}

// kubeNow is by the API server's clock, nodeNow by the nodes'.
func (h *history) kubeNow() time.Time { return time.Now().Add(time.Duration(h.kubeSkew.Load())) }
func (h *history) nodeNow() time.Time { return time.Now().Add(time.Duration(h.nodeSkew.Load())) }

// set sets clocks.
func (h *history) set(which string, by time.Duration) {
	switch which {
	case setAPIServer:
		h.kubeSkew.Add(int64(by))
	case setNodes:
		h.nodeSkew.Add(int64(by))
	case setScheduler:
		h.kubeSkew.Add(int64(-by))
		h.nodeSkew.Add(int64(-by))
	}
	h.note("%s by %s", which, by)
}

// clocksAreSet: in such a history the schedulers learn the skew from answers, as
// they do from real ones; in others it is too little to matter.
func (h *history) clocksAreSet() bool {
	return slices.ContainsFunc(h.plan.happenings, func(e happening) bool {
		return e.what == setAPIServer || e.what == setNodes || e.what == setScheduler
	})
}

// lagOf is how late a process sees the change i.
func (h *history) lagOf(s *instance, kind string, i int) time.Duration {
	h.mu.Lock()
	calm := h.calm
	h.mu.Unlock()
	if x := chance(h.seed, "lag", s.n, kind, i); h.plan.lag > 0 && !calm && x < 0.3 {
		return time.Duration(x / 0.3 * float64(h.plan.lag))
	}
	return 5 * time.Millisecond
}

// alive are the processes that serve.
func (h *history) alive() (out []*instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, s := range h.instances {
		if !s.left {
			out = append(out, s)
		}
	}
	return out
}

// anyPod is a pod that is not over, the nth in the order of their making.
func (h *history) anyPod(n int) *hpod { return h.anyPodOf(1, n) }

// anyPodOf is one of an attempt, or of a later one.
func (h *history) anyPodOf(attempt, n int) *hpod {
	h.mu.Lock()
	defer h.mu.Unlock()
	var live []*hpod
	for _, p := range h.podsByUID {
		if !p.over && p.attempt >= attempt {
			live = append(live, p)
		}
	}
	if len(live) == 0 {
		return nil
	}
	slices.SortFunc(live, func(a, b *hpod) int { return byName(a.uid, b.uid) })
	return live[n%len(live)]
}

// name is a job as the trace names it.
func (h *history) name(id contract.JobID) string { return fmt.Sprint("job ", h.jobNumber[id]) }
