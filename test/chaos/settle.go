package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
)

// open counts the jobs that aren't over, came all there were.
func (m *machine) open() (n int) {
	for state, count := range m.Simulator.JobsIn() {
		if !state.Terminal() {
			n += count
		}
	}
	return n
}

func (m *machine) came() (n int) {
	for _, count := range m.Simulator.JobsIn() {
		n += count
	}
	return n
}

func (m *machine) states() string {
	in := m.Simulator.JobsIn()
	var words []string
	for _, state := range slices.Sorted(maps.Keys(in)) {
		words = append(words, fmt.Sprintf("%d %s", in[state], state))
	}
	return strings.Join(words, ", ")
}

// clean waits until nothing is left of the jobs, ends the schedulers, and
// returns what is left then.
func (m *machine) clean(ctx context.Context) []Leftover {
	left := append(until(ctx, m.leftOfJobs), until(ctx, m.heldSlots)...)
	scale, err := m.Cluster.Client().AppsV1().Deployments(namespace).GetScale(ctx, "onejob", metav1.GetOptions{})
	if err == nil {
		scale.Spec.Replicas = 0
		_, err = m.Cluster.Client().AppsV1().Deployments(namespace).UpdateScale(ctx, "onejob", scale, metav1.UpdateOptions{})
	}
	if err != nil {
		return append(left, Leftover{What: "the schedulers: " + err.Error()})
	}
	return append(left, until(ctx, m.leftOfSchedulers)...)
}

// until calls what until it names nothing, and returns what it named last.
func until(ctx context.Context, what func(context.Context) []Leftover) []Leftover {
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	for {
		left := what(ctx)
		if len(left) == 0 || !sleep(ctx, 250*time.Millisecond) {
			return left
		}
	}
}

// leftOfJobs names kjobs, pods, reservations and agents' sessions.
func (m *machine) leftOfJobs(ctx context.Context) (left []Leftover) {
	only := metav1.ListOptions{LabelSelector: contract.LabelQueue}
	kjobs, err := m.Cluster.Client().BatchV1().Jobs(namespace).List(ctx, only)
	if err != nil {
		return []Leftover{{What: err.Error()}}
	}
	for _, k := range kjobs.Items {
		left = append(left, Leftover{"kjob", k.Name})
	}
	pods, err := m.Cluster.Client().CoreV1().Pods(namespace).List(ctx, only)
	if err != nil {
		return append(left, Leftover{What: err.Error()})
	}
	for _, p := range pods.Items {
		left = append(left, Leftover{"pod", p.Name})
	}
	if n := m.Simulator.JobsIn()[simulator.StateReserved]; n > 0 {
		left = append(left, Leftover{What: fmt.Sprintf("%d reservations", n)})
	}
	for _, a := range m.Simulator.Agents() {
		if a.State != "disconnected" && a.State != "lost" {
			left = append(left, Leftover{"session of agent", a.Name})
		}
	}
	return left
}

// heldSlots names the slots that the leader takes to be held.
func (m *machine) heldSlots(ctx context.Context) (held []Leftover) {
	all, err := fixture.Metrics(ctx, m.Cluster.Client())
	if err != nil {
		return []Leftover{{What: err.Error()}}
	}
	i := slices.IndexFunc(all, fixture.Leads)
	if i < 0 {
		return []Leftover{{What: "no scheduler that leads"}}
	}
	n := 0
	for line := range strings.Lines(all[i]) {
		if rest, is := strings.CutPrefix(line, `onejob_slots{kind="held",`); is {
			if n++; !strings.HasSuffix(rest, "} 0\n") {
				held = append(held, Leftover{What: "slots: " + strings.TrimSpace(line)})
			}
		}
	}
	if n == 0 {
		return []Leftover{{What: "no metric of the slots"}}
	}
	return held
}

// leftOfSchedulers names their pods and what holds their Lease.
func (m *machine) leftOfSchedulers(ctx context.Context) (left []Leftover) {
	pods, err := m.Cluster.Client().CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return []Leftover{{What: err.Error()}}
	}
	for _, p := range pods.Items {
		left = append(left, Leftover{"pod", p.Name})
	}
	leases, err := m.Cluster.Client().CoordinationV1().Leases(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return append(left, Leftover{What: err.Error()})
	}
	for _, l := range leases.Items {
		if l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity != "" {
			left = append(left, Leftover{What: "the Lease " + l.Name + ", held by " + *l.Spec.HolderIdentity})
		}
	}
	return left
}
