package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	mathrand "math/rand"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/simulator"
)

// history is one random life of a few jobs in a bubble: the simulator, a
// cluster, schedulers that come and go, and trouble for a while. Its invariants
// (check.go) are checked at each request; when the trouble is
// over, all has to come to an end within a time.
//
// The seed decides the plan and, by name and number, what befalls each request,
// watch event and pod; see repeatable for the rest. The order in which a select
// and a map take what is there stays the runtime's: one replay in twenty goes
// another way.
//
// Left out: the Lease (two schedulers that both lead are the worse case),
// templates that change, and warm placeholders. A bubble has one clock, from which
// the API server's and the nodes' may differ, and by which each may be set.
type history struct {
	seed    uint64
	options options
	plan    plan
	ctx     context.Context
	wg      sync.WaitGroup
	sim     *simulator.Simulator
	fake    *fake.Clientset
	cluster *cluster
	config  *config.Config
	metrics *scheduler.Metrics
	began   time.Time

	kubeSkew, nodeSkew atomic.Int64 // how far those clocks are ahead of the bubble's

	mu        sync.Mutex
	trace     []string
	broken    []string
	instances []*instance
	podsByUID map[string]*hpod
	jobNumber map[contract.JobID]int
	made      map[string]bool         // names of kjobs
	takenAway map[contract.JobID]bool // a kjob of the job was
	attempts  map[contract.JobID]int
	runs      map[contract.JobID]int
	excuses   map[contract.JobID][]string
	cancelled map[contract.JobID]bool
	outage    map[string]trouble
	refusing  bool
	calm      bool
	onTheWay  int
	settled   time.Duration // how long after the trouble
}

// calmBound is how long after the trouble all must have ended: a job may have
// to wait for its agent to be given up or a pod to be called pending for too
// long, and then for the longest backoff.
const calmBound = 5 * time.Minute

// live tells a history from its beginning to its end.
func live(t *testing.T, seed uint64, o options) *history {
	h := &history{
		seed: seed, options: o, plan: newPlan(seed), podsByUID: map[string]*hpod{}, jobNumber: map[contract.JobID]int{}, made: map[string]bool{}, takenAway: map[contract.JobID]bool{},
		attempts: map[contract.JobID]int{}, runs: map[contract.JobID]int{}, excuses: map[contract.JobID][]string{}, cancelled: map[contract.JobID]bool{}, outage: map[string]trouble{},
	}
	if o.profile != nil {
		h.plan.profile = *o.profile
	}
	h.kubeSkew.Store(int64(h.plan.skew))
	h.nodeSkew.Store(int64(h.plan.skew))
	mathrand.Seed(int64(seed)) //nolint:staticcheck,gosec // client-go's jitter
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h.ctx, h.began = ctx, time.Now()
		lostJobs := config.LostLeave
		if h.plan.finishLost {
			lostJobs = config.LostFinish
		}
		h.sim = simulator.New(simulator.Config{
			Seed: seed, Profile: h.plan.profile, HeartbeatTimeout: 30 * time.Second, AcceptTimeout: acceptTimeout,
			ReservationDefault: time.Minute, ReservationMin: 30 * time.Second, RequestLog: 1,
		})
		h.fake, h.cluster, h.metrics = fake.NewSimpleClientset(), newCluster(h), scheduler.NewMetrics() //nolint:staticcheck // the newer one tracks managed fields, slowly
		var err error
		h.config, err = config.Parse(fmt.Appendf(nil, `
endpoint: http://buildkite.test/v3
create-workers: 4
idle-interval: 2s
queues:
- name: default
  max-in-flight: %d
  max-attempts: %d
  pending-timeout: 60s
  suspended-timeout: 60s
  image-grace: 5s
  lost-jobs: %s
  template:
    inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: %d, template: {spec: {terminationGracePeriodSeconds: 10}}}}
`, h.plan.maxInFlight, h.plan.maxAttempts, lostJobs, int(h.plan.ttl.Seconds())), namespace)
		if err != nil {
			t.Fatal(err)
		}
		h.unfold()
		cancel()
		h.wg.Wait()
		h.sim.Close()
		synctest.Wait()
	})
	return h
}

// unfold lets the plan happen and then waits for the end.
func (h *history) unfold() {
	h.launch()
	for n, at := range h.plan.jobs {
		h.wg.Go(func() {
			if h.sleep(at, nil) {
				h.build(n)
			}
		})
	}
	for _, e := range h.plan.happenings {
		h.wg.Go(func() {
			if h.sleep(e.at, nil) {
				h.happen(e)
			}
		})
	}
	h.sleep(h.plan.lasts, nil)
	h.mu.Lock()
	h.calm = true
	h.noteLocked("the trouble is over")
	h.mu.Unlock()
	_ = h.sim.SetQueuePaused("default", false)
	over := time.Now()
	for {
		if len(h.alive()) == 0 && time.Since(over) > 20*time.Second {
			h.launch()
		}
		left := h.leftOver()
		if len(left) == 0 {
			break
		}
		h.settled = time.Since(over)
		if h.settled > calmBound {
			h.broke("left over: %s after the trouble: %s", h.settled, strings.Join(left, "; "))
			break
		}
		h.sleep(500*time.Millisecond, nil)
	}
	for _, s := range h.alive() {
		s.drain()
	}
	h.balance()
}

// story is what happened, and how to see it again.
func (h *history) story() string {
	p := h.plan
	return fmt.Sprintf("history %d: %d violations, settled after %s\n%s\nmax-in-flight %d, max-attempts %d, ttl %s, lag %s, skew %s, kube %v, wire %v, fates %v, helpers %v, finishes lost jobs %t\nprofile: %s\n\n%s\n\nreplay it: go run ./test/histories --seed=%d --times=20%s\n",
		h.seed, len(h.broken), h.settled, strings.Join(h.broken, "\n"), p.maxInFlight, p.maxAttempts, p.ttl, p.lag, p.skew, p.kube, p.wire, p.fates, p.helpers, p.finishLost, p.profile, strings.Join(h.trace, "\n"), h.seed, h.options.flags())
}

// call is a runner's request to Buildkite.
func (h *history) call(method, path, token string, in any) (int, map[string]any) {
	b, _ := json.Marshal(in)
	r, err := http.NewRequestWithContext(h.ctx, method, "http://buildkite.test/v3/"+path, nil)
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Authorization", "Token "+token)
	resp := h.serve(r, b)
	var out map[string]any
	_ = json.Unmarshal(resp.Body.(*replyBody).b, &out)
	return resp.StatusCode, out
}

func (h *history) log(s *instance) *slog.Logger {
	if !h.options.log {
		return nil
	}
	return slog.New(slog.NewTextHandler(noteWriter{h, s}, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

type noteWriter struct {
	h *history
	s *instance
}

func (w noteWriter) Write(b []byte) (int, error) {
	w.h.note("  %s: %s", w.s, bytes.TrimSpace(b))
	return len(b), nil
}
