package main

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// happen makes one thing happen.
func (h *history) happen(e happening) {
	h.note("it happens: %s (%d) for %s", e.what, e.n, e.lasts)
	jobs := h.sim.Jobs()
	alive := h.alive()
	during := func(api string, t trouble) {
		h.truth(func() { h.outage[api] = t })
		h.sleep(e.lasts, nil)
		h.truth(func() { h.outage[api] = fine })
	}
	attempt := 1 // and later ones
	kjob := func(f func(k *batchv1.Job, p *hpod)) {
		if p := h.anyPodOf(attempt, e.n); p != nil {
			if k := h.cluster.kjob(p.kjob); k != nil && string(k.UID) == p.uid {
				f(k, p)
			}
		}
	}
	switch e.what {
	case "crash":
		for _, s := range alive {
			s.crash(e.lasts)
		}
	case "drain":
		if len(alive) > 0 {
			alive[e.n%len(alive)].drain()
			if h.sleep(e.lasts, nil) && len(h.alive()) == 0 {
				h.launch()
			}
		}
	case "second scheduler":
		h.launch()
	case "cancel job", "cancel build":
		if len(jobs) > 0 {
			j := jobs[e.n%len(jobs)]
			h.truth(func() { h.cancelled[contract.JobID(j.ID)] = true; h.excuse(contract.JobID(j.ID), e.what) })
			if e.what == "cancel job" {
				_ = h.sim.CancelJob(j.ID)
			} else {
				_ = h.sim.CancelBuild(j.BuildNumber)
			}
		}
	case "pause queue":
		_ = h.sim.SetQueuePaused("default", true)
		h.sleep(e.lasts, nil)
		_ = h.sim.SetQueuePaused("default", false)
	case "delete kjob", "delete kjob in foreground":
		kjob(func(k *batchv1.Job, p *hpod) {
			h.excuseRun(p, e.what)
			_ = h.deleteKjob(k.Name, p.uid, "hand", e.what != "delete kjob")
		})
	case "cancel kjob":
		// A second attempt's comes rarely, and has the first one's beside it.
		for end := time.Now().Add(e.lasts); h.anyPodOf(2, e.n) == nil && time.Now().Before(end) && h.sleep(200*time.Millisecond, nil); {
		}
		if h.anyPodOf(2, e.n) != nil {
			attempt = 2
		}
		kjob(func(k *batchv1.Job, p *hpod) {
			h.truth(func() { h.excuse(p.id, e.what) })
			h.cluster.changeKjob(k.Name, p.uid, func(k *batchv1.Job) { k.Annotations[contract.AnnotationCancel] = "by hand" })
			if e.n%2 == 0 { // as `onejob cancel`
				return
			}
			_ = h.deleteKjob(k.Name, p.uid, "hand", false)
		})
	case "delete pod":
		if p := h.anyPod(e.n); p != nil {
			h.excuseRun(p, e.what)
			h.truth(func() {
				if p.made {
					p.stop()
				}
			})
		}
	case "suspend kjob":
		kjob(func(k *batchv1.Job, p *hpod) {
			h.excuseRun(p, e.what)
			suspended := false
			h.truth(func() {
				if suspended = p.made && !p.over; suspended {
					p.suspended = true
					p.stop()
				}
			})
			if suspended {
				h.cluster.changeKjob(k.Name, p.uid, func(k *batchv1.Job) { k.Spec.Suspend = &suspended })
			}
		})
	case "drop watches", "break watches":
		end := expired()
		if e.what == "break watches" {
			end = watch.Event{}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, s := range h.instances {
			for _, w := range s.watches {
				select {
				case w.drop <- end:
				default:
				}
			}
		}
	case "kubernetes is down":
		during("kube", []trouble{tornBefore, answers503, hangs, replyLost}[e.n%4])
	case "buildkite is down":
		during("wire", []trouble{tornBefore, answers503, hangs, replyLost}[e.n%4])
	case "buildkite limits":
		during("wire", answers429)
	case "token refused":
		h.truth(func() { h.refusing = true })
		h.sleep(e.lasts, nil)
		h.truth(func() { h.refusing = false })
	case "stack deregistered":
		h.call("POST", "stacks/onejob-default/deregister", simulator.DefaultAgentToken, nil)
	case setAPIServer, setNodes, setScheduler:
		h.set(e.what, setBy[e.n%len(setBy)])
	default:
		panic(e.what)
	}
}

func (h *history) build(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	b, err := h.sim.CreateBuild(simulator.BuildRequest{Pipeline: fmt.Appendf(nil, `{"steps":[{"command":"make","priority":%d}]}`, n%2)})
	if err != nil {
		panic(err)
	}
	for _, j := range h.sim.Jobs() {
		if j.BuildNumber == b.Number {
			h.jobNumber[contract.JobID(j.ID)] = n + 1
			h.noteLocked("job %d comes: %s", n+1, j.ID)
		}
	}
}
