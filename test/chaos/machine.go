package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/fixture"
)

// machine is what gets hurt.
type machine struct {
	*fixture.Installation
	witness *witness
	port    int // the simulator's

	mu        sync.Mutex
	cancelled map[string]bool // jobs that a person cancelled
	jumps     []jump
	erased    map[string]time.Time // the last deletion of a job's kjob
	unseated  []time.Time          // when a scheduler may have lost its lead
}

// untraced are the jobs of which Kubernetes kept nothing, and of whose end no
// scheduler may have been left to tell: the kjob was deleted, and before its pod
// had its grace to go, the scheduler lost its lead.
func (m *machine) untraced() map[string]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	jobs := map[string]bool{}
	for id, at := range m.erased {
		jobs[id] = slices.ContainsFunc(m.unseated, func(t time.Time) bool { return t.After(at) && t.Before(at.Add(time.Minute)) })
	}
	return jobs
}

// jump is a change of the simulator's clock.
type jump struct {
	after uint64 // the ledger's last entry before it
	skew  time.Duration
}

// errNobody is what an injury returns when there is nobody to hurt.
var errNobody = errors.New("there was nobody to hurt")

// schedulers are the scheduler's pods, jobPods those of jobs, that have a node
// and aren't over.
func (m *machine) schedulers() []*corev1.Pod {
	return m.witness.livePods(func(p *corev1.Pod) bool { return p.Labels["app.kubernetes.io/component"] == "scheduler" })
}

func (m *machine) jobPods() []*corev1.Pod {
	return m.witness.livePods(func(p *corev1.Pod) bool { return jobOf(p.Name) != "" })
}

// pick draws one of a list that is sorted by name.
func pick[T any](rng *rand.Rand, from []T) (T, error) {
	var none T
	if len(from) == 0 {
		return none, errNobody
	}
	return from[rng.IntN(len(from))], nil
}

// killIn kills processes of a pod that want picks, and says which.
func (m *machine) killIn(p *corev1.Pod, want func([]cluster.PodProcess) []cluster.PodProcess) (string, error) {
	all, err := m.Cluster.PodProcesses(p.UID)
	if err != nil {
		return "", err
	}
	var killed []string
	for _, process := range want(all) {
		if err := syscall.Kill(process.PID, syscall.SIGKILL); err == nil {
			killed = append(killed, strings.Join(process.Argv, " "))
		}
	}
	if len(killed) == 0 {
		return "", errNobody
	}
	return p.Name + ": " + strings.Join(killed, ", "), nil
}

// healAll undoes what any injury can have left.
func (m *machine) healAll(ctx context.Context) error {
	m.Simulator.ClearFaults()
	m.setClock(0)
	err := m.Cluster.StartAPIServer(ctx)
	err = errors.Join(err, m.Cluster.SetAPIServerClock(0))
	for _, node := range m.Cluster.NodeNames { // the schedulers' clocks are their nodes'
		err = errors.Join(err, m.Cluster.StartKubelet(ctx, node), m.Cluster.SignalKubelet(node, syscall.SIGCONT), m.Cluster.SetNodeClock(node, 0))
	}
	return err
}

// setClock sets the simulator's clock to a skew from the machine's.
func (m *machine) setClock(skew time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	old := time.Duration(0)
	if len(m.jumps) > 0 {
		old = m.jumps[len(m.jumps)-1].skew
	}
	m.jumps = append(m.jumps, jump{uint64(len(m.Simulator.Ledger())), skew})
	m.Simulator.JumpClock(skew - old)
}

// calm waits until a scheduler says that it is ready: it may be in the kubelet's
// back-off after crashes, which is none of onejob's. It is asked itself, as the
// API server may know only of the time before the injuries.
func (m *machine) calm(ctx context.Context) error {
	for {
		for _, p := range m.schedulers() {
			if m.ready(ctx, p) {
				return nil
			}
		}
		if !sleep(ctx, 100*time.Millisecond) {
			return fmt.Errorf("no scheduler is ready: %w", context.Cause(ctx))
		}
	}
}

func (m *machine) ready(ctx context.Context, p *corev1.Pod) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(p.Status.PodIP, "8080")+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// jobOf is the job's ID in the name of a kjob, a pod or an Event, or empty.
func jobOf(name string) string {
	rest, ok := strings.CutPrefix(name, "onejob-")
	if !ok || len(rest) < 36 || strings.Count(rest[:36], "-") != 4 {
		return ""
	}
	return rest[:36]
}

func jobsOf(pods []*corev1.Pod) (ids []string) {
	for _, p := range pods {
		if id := jobOf(p.Name); id != "" && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
