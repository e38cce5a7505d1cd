package controlplane_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/controlplane"
)

// onejob is the path of the binary.
var onejob string

func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		fmt.Println("a cluster takes seconds to start; left out by -short")
		os.Exit(0)
	}
	// Outages mostly wait: for their end, for a backoff. Not all at once: each is a
	// burst of jobs for one API server.
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", "6"); err != nil {
			panic(err)
		}
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "onejob-scheduler")
	if err == nil {
		defer os.RemoveAll(dir)
		onejob, err = controlplane.BuildOnejob(context.Background(), dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return cluster.Main(m)
}

var node sync.Mutex

// lab is a Fixture, and what a test wants of it.
type lab struct {
	*testing.T
	*controlplane.Fixture
	config string
	ctx    context.Context
}

// open makes one whose queue has the settings. All tests share a cluster.
func open(t *testing.T, settings string) *lab {
	t.Helper()
	c := cluster.Shared(t, cluster.Config{})
	// Not t's: the node outlives the test, and the guard is against hangs.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Minute)
	t.Cleanup(cancel)
	node.Lock()
	err := controlplane.Node(context.WithoutCancel(ctx), c)
	node.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	set, err := controlplane.Open(ctx, c, simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if vs := set.Simulator.CheckSettled(); len(vs) > 0 {
			t.Errorf("the ledger has violations: %v", vs)
		}
		if err := set.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &lab{T: t, Fixture: set, ctx: ctx}
	if l.config, err = set.Configure(settings); err != nil {
		t.Fatal(err)
	}
	return l
}

// launch starts a scheduler; args are added to its command line.
func (l *lab) launch(args ...string) *controlplane.Process {
	l.Helper()
	argv := append([]string{onejob, "schedule", "--config", l.config, "--listen", ""}, args...)
	p, err := l.Start(argv, nil)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		if l.Failed() {
			l.Logf("the end of the scheduler's log:\n%s", p.Tail())
		}
		p.Kill()
	})
	return p
}

// behave has each runner behave as choose says; n counts them from 0.
func (l *lab) behave(choose func(n int, r *controlplane.Runner) controlplane.Behaviour) {
	l.Helper()
	var mu sync.Mutex
	n := 0
	p, err := l.RunKubelet(l.ctx, func(ctx context.Context, r *controlplane.Runner) {
		mu.Lock()
		behaviour := choose(n, r)
		n++
		mu.Unlock()
		behaviour(ctx, r)
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(p.Close)
}

// build schedules n jobs.
func (l *lab) build(n int) []string {
	l.Helper()
	ids, _, err := l.Build(n)
	if err != nil {
		l.Fatal(err)
	}
	return ids
}

// within bounds ctx for a wait that may be behaviour of what is tested.
func (l *lab) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeoutCause(l.ctx, d, fmt.Errorf("not within %s", d))
	l.Cleanup(cancel)
	return ctx
}

// ended waits until every job of the simulator has ended.
func (l *lab) ended(within time.Duration) {
	l.Helper()
	err := l.Simulator.Wait(l.within(within), func() bool {
		for state, n := range l.Simulator.JobsIn() {
			if n > 0 && !state.Terminal() {
				return false
			}
		}
		return true
	})
	if err != nil {
		l.Fatalf("waiting until every job has ended: %v; they are %v", err, l.Simulator.JobsIn())
	}
}

// overlapping are the kjobs that were made before their job's last one was
// finished, as the API server has it: after an outage a watch knows no order.
func (l *lab) overlapping() (names []string) {
	l.Helper()
	kjobs, err := l.Kube.BatchV1().Jobs(l.Namespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	ended := map[string]time.Time{}
	for _, k := range kjobs.Items {
		for _, c := range k.Status.Conditions {
			if c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed {
				ended[k.Name] = c.LastTransitionTime.Time
			}
		}
	}
	for _, k := range kjobs.Items {
		id, attempt, ours := contract.ParseKjobName(k.Name)
		if !ours || attempt == 1 {
			continue
		}
		if end := ended[contract.KjobName(id, attempt-1)]; end.IsZero() || k.CreationTimestamp.Time.Before(end) {
			names = append(names, k.Name)
		}
	}
	return names
}
