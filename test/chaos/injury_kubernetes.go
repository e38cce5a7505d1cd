package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/fixture"
)

// programs are the processes that run one of the programs, and not what
// Kubernetes put beside it.
func programs(all []cluster.PodProcess, names ...string) []cluster.PodProcess {
	return slices.DeleteFunc(all, func(p cluster.PodProcess) bool { return !slices.Contains(names, filepath.Base(p.Argv[0])) })
}

func scheduler(all []cluster.PodProcess) []cluster.PodProcess { return programs(all, "onejob") }

// killScheduler kills one scheduler, or all of them.
func killScheduler(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	victims, both := m.schedulers(), rng.IntN(4) == 0
	one, err := pick(rng, victims)
	if err != nil {
		return wound{}, err
	}
	if !both {
		victims = []*corev1.Pod{one}
	}
	var killed []string
	for _, p := range victims {
		text, e := m.killIn(p, scheduler)
		if e != nil {
			err = e
			continue
		}
		killed = append(killed, text)
	}
	if len(killed) == 0 {
		return wound{}, err
	}
	return wound{what: strings.Join(killed, "; ")}, nil
}

func deleteScheduler(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.schedulers())
	if err != nil {
		return wound{}, err
	}
	return wound{what: p.Name}, m.remove(ctx, p, rng)
}

// killRunner kills one of onejob's processes in a job's pod: its PID 1, the
// runner, or the child that drives the job.
func killRunner(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.jobPods())
	if err != nil {
		return wound{}, err
	}
	text, err := m.killIn(p, func(all []cluster.PodProcess) []cluster.PodProcess {
		one, err := pick(rng, programs(all, "onejob-agent", "onejob-run"))
		if err != nil {
			return nil
		}
		return []cluster.PodProcess{one}
	})
	return wound{what: text, jobs: []string{jobOf(p.Name)}}, err
}

// remove deletes a pod with its own grace, with none, or with a second.
func (m *machine) remove(ctx context.Context, p *corev1.Pod, rng *rand.Rand) error {
	o := metav1.DeleteOptions{}
	switch rng.IntN(3) {
	case 0:
		o.GracePeriodSeconds = new(int64(0))
	case 1:
		o.GracePeriodSeconds = new(int64(1))
	}
	return m.Cluster.Client().CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, o)
}

func deletePod(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.jobPods())
	if err != nil {
		return wound{}, err
	}
	return wound{what: p.Name, jobs: []string{jobOf(p.Name)}}, m.remove(ctx, p, rng)
}

func evictPod(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.jobPods())
	if err != nil {
		return wound{}, err
	}
	return wound{what: p.Name, jobs: []string{jobOf(p.Name)}}, m.Cluster.Client().PolicyV1().Evictions(p.Namespace).Evict(ctx, &policyv1.Eviction{
		ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace},
	})
}

func deleteKjob(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.jobPods())
	if err != nil {
		return wound{}, err
	}
	how := metav1.DeletePropagationBackground
	if rng.IntN(3) == 0 {
		how = metav1.DeletePropagationForeground
	}
	return m.erase(ctx, p, how)
}

// orphanPod deletes a kjob and leaves its pod, until somebody deletes that too:
// Kubernetes itself keeps it when it is over.
func orphanPod(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.jobPods())
	if err != nil {
		return wound{}, err
	}
	w, err := m.erase(ctx, p, metav1.DeletePropagationOrphan)
	w.heal = func(ctx context.Context) error {
		for { // the API server may be down
			err := m.Cluster.Client().CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{})
			if apierrors.IsNotFound(err) {
				return nil
			}
			if err == nil || !sleep(ctx, time.Second) {
				return err
			}
		}
	}
	return w, err
}

func (m *machine) erase(ctx context.Context, p *corev1.Pod, how metav1.DeletionPropagation) (wound, error) {
	name := p.Labels["batch.kubernetes.io/job-name"]
	m.mu.Lock()
	m.erased[jobOf(name)] = time.Now()
	m.mu.Unlock()
	return wound{what: fmt.Sprintf("%s, %s", name, how), jobs: []string{jobOf(name)}}, m.Cluster.Client().BatchV1().Jobs(p.Namespace).Delete(ctx, name, metav1.DeleteOptions{PropagationPolicy: &how})
}

func killKubelet(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	node := m.Cluster.NodeNames[rng.IntN(len(m.Cluster.NodeNames))]
	return wound{what: node, heal: func(ctx context.Context) error { return m.Cluster.StartKubelet(ctx, node) }}, m.Cluster.KillKubelet(node)
}

func freezeKubelet(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	node := m.Cluster.NodeNames[rng.IntN(len(m.Cluster.NodeNames))]
	return wound{what: node, heal: func(context.Context) error { return m.Cluster.SignalKubelet(node, syscall.SIGCONT) }}, m.Cluster.SignalKubelet(node, syscall.SIGSTOP)
}

func stopAPIServer(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	// Not the strike's context: a server that is half stopped can't be started.
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rng.IntN(2))*time.Second+time.Millisecond)
	defer cancel()
	return wound{what: "the one there is", heal: m.Cluster.StartAPIServer}, m.Cluster.StopAPIServer(ctx)
}

// namespace is where all of it is.
const namespace = fixture.Namespace
