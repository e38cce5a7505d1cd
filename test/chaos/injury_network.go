package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/test/cluster"
)

// cutAPIServer cuts one scheduler, or both, off from the API server.
func cutAPIServer(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	pods := m.schedulers()
	one, err := pick(rng, pods)
	if err != nil {
		return wound{}, err
	}
	if rng.IntN(3) > 0 {
		pods = []*corev1.Pod{one}
	}
	return m.cut(ctx, pods, cluster.Cut{To: cluster.APIServer, Port: cluster.APIServerPort, Refuse: rng.IntN(3) == 0})
}

// cutKubelet cuts a node's kubelet off from the API server: its pods go on, unheard.
func cutKubelet(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	node, refuse := m.Cluster.NodeNames[rng.IntN(len(m.Cluster.NodeNames))], rng.IntN(3) == 0
	heal, err := m.Cluster.CutKubelet(ctx, node, refuse)
	return wound{what: node + " " + how(cluster.Cut{To: "the API server", Refuse: refuse}), heal: heal}, err
}

// cut cuts pods off, one by one.
func (m *machine) cut(ctx context.Context, pods []*corev1.Pod, c cluster.Cut) (wound, error) {
	var from []string
	w := wound{jobs: jobsOf(pods)}
	for _, p := range pods {
		w.what += p.Name + " "
		from = append(from, p.Status.PodIP)
	}
	heal, err := m.cutAll(ctx, from, c)
	w.what, w.heal = w.what+how(c), heal
	return w, err
}

func (m *machine) cutAll(ctx context.Context, from []string, c cluster.Cut) (heal func(context.Context) error, err error) {
	var mends []func(context.Context) error
	heal = func(ctx context.Context) (err error) {
		for _, mend := range mends {
			if e := mend(ctx); e != nil {
				err = e
			}
		}
		return err
	}
	for _, c.From = range from {
		if c.From == "" {
			continue // it has no address yet
		}
		mend, err := m.Cluster.Cut(ctx, c)
		if err != nil {
			return heal, err
		}
		mends = append(mends, mend)
	}
	if len(mends) == 0 {
		return heal, errNobody
	}
	return heal, nil
}

func how(c cluster.Cut) string {
	if c.Refuse {
		return fmt.Sprintf("from %s, refused", c.To)
	}
	return fmt.Sprintf("from %s, in silence", c.To)
}

func (m *machine) buildkite(rng *rand.Rand) cluster.Cut {
	return cluster.Cut{To: m.Cluster.HostAddress, Port: m.port, Refuse: rng.IntN(3) == 0}
}

func stopBuildkite(ctx context.Context, m *machine, _ *rand.Rand) (wound, error) {
	heal, err := m.cutAll(ctx, []string{m.Cluster.PodCIDR}, cluster.Cut{To: m.Cluster.HostAddress, Port: m.port, Refuse: true})
	return wound{what: "for all", jobs: jobsOf(m.jobPods()), heal: heal}, err
}

func cutSchedulers(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	return m.cut(ctx, m.schedulers(), m.buildkite(rng))
}

// cutRunners cuts all pods of a node off from Buildkite, or a few.
func cutRunners(ctx context.Context, m *machine, rng *rand.Rand) (wound, error) {
	pods, c := m.jobPods(), m.buildkite(rng)
	if rng.IntN(2) == 0 {
		pods = pods[:min(len(pods), 1+rng.IntN(4))]
		return m.cut(ctx, pods, c)
	}
	node := m.Cluster.NodeNames[rng.IntN(len(m.Cluster.NodeNames))]
	from, err := m.Cluster.PodsOf(node)
	if err != nil {
		return wound{}, err
	}
	heal, err := m.cutAll(ctx, []string{from}, c)
	return wound{what: "pods of " + node + " " + how(c), jobs: jobsOf(pods), heal: heal}, err
}

// distrust has all pods, those of a node or the schedulers meet a certificate that
// they don't trust, or HTTP in clear text, where Buildkite was.
func distrust(_ context.Context, m *machine, rng *rand.Rand) (_ wound, err error) {
	to, what, w := []string{m.Cluster.PodCIDR}, "all pods", wound{jobs: jobsOf(m.jobPods())}
	switch rng.IntN(3) {
	case 0:
		what = "pods of " + m.Cluster.NodeNames[rng.IntN(len(m.Cluster.NodeNames))]
		if to[0], err = m.Cluster.PodsOf(strings.TrimPrefix(what, "pods of ")); err != nil {
			return wound{}, err
		}
	case 1:
		to, what, w.jobs = nil, "schedulers", nil
		for _, p := range m.schedulers() {
			to = append(to, p.Status.PodIP)
		}
	}
	plain := rng.IntN(3) == 0
	var mends []func()
	w.heal = func(context.Context) error {
		for _, mend := range mends {
			mend()
		}
		return nil
	}
	for _, address := range to {
		if address == "" {
			continue // a pod without an address yet
		}
		mend, err := m.Front.Lie(address, plain)
		if err != nil {
			return w, err
		}
		mends = append(mends, mend)
	}
	if len(mends) == 0 {
		return wound{}, errNobody
	}
	w.what = what + ", by a certificate that nobody trusts"
	if plain {
		w.what = what + ", by HTTP in clear text"
	}
	return w, nil
}
