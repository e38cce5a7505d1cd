package cluster

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
	"github.com/onejob-dev/onejob/test/repo"
)

// T is what this package needs of a *testing.T or *testing.B; that it isn't
// testing.TB keeps the testing package out of the command.
type T interface {
	Helper()
	Name() string
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Skip(args ...any)
	Failed() bool
	Cleanup(func())
	Context() context.Context
}

// startTimeout is generous: a cold build of Kubernetes takes eight minutes of
// one core.
const startTimeout = 30 * time.Minute

// Start starts a cluster for one test and ends it after the test. With -short
// the test is skipped; on a machine that can't have a cluster it fails. When the
// test has failed, the components' logs are kept, and their place is logged.
func Start(t T, config Config) *Cluster {
	t.Helper()
	skipIfShort(t)
	c, err := runForTests(t.Context(), t, config)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		keepLogs(t, c)
		if err := c.Close(); err != nil {
			t.Fatalf("ending the cluster: %v", err)
		}
	})
	return c
}

var shared struct {
	sync.Mutex
	cluster *Cluster
	nodes   int
	err     error
}

// Shared returns the one cluster of this test process, and starts it for the
// first test that asks. It is ended by Main. All callers in a process must give
// the same number of nodes; images of later callers are imported into the
// running cluster. Tests that share it keep to namespaces of their own.
func Shared(t T, config Config) *Cluster {
	t.Helper()
	skipIfShort(t)
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster == nil && shared.err == nil {
		// Not the test's context: the cluster outlives it.
		shared.cluster, shared.err = runForTests(context.WithoutCancel(t.Context()), t, config)
		shared.nodes = config.Nodes
	} else if shared.err == nil {
		if config.Nodes != shared.nodes {
			t.Fatalf("the shared cluster has %d nodes, this test wants %d: use Start", shared.nodes, config.Nodes)
		}
		for _, image := range config.Images {
			if err := shared.cluster.ImportImage(t.Context(), image); err != nil {
				t.Fatalf("%v", err)
			}
		}
	}
	if shared.err != nil {
		t.Fatalf("%v", shared.err)
	}
	t.Cleanup(func() { keepLogs(t, shared.cluster) })
	return shared.cluster
}

// Main is for a TestMain: it runs the tests, ends the shared cluster, and
// returns the exit status for os.Exit. A process that dies before that leaves
// nothing behind either.
func Main(m interface{ Run() int }) int {
	status := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "ending the shared cluster:", err)
			return max(status, 1)
		}
		shared.cluster = nil
	}
	return status
}

func skipIfShort(t T) {
	t.Helper()
	if short := flag.Lookup("test.short"); short != nil && short.Value.String() == "true" {
		t.Skip("a cluster takes seconds to start; left out by -short")
	}
}

func runForTests(ctx context.Context, t T, config Config) (*Cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if config.Logf == nil {
		config.Logf = t.Logf
	}
	// Before the wait below, which may be long.
	if err := Check(config.Nodes > 0); err != nil {
		return nil, err
	}
	if err := oneTestProcess(ctx, config.logf); err != nil {
		return nil, fmt.Errorf("waiting for other test processes' clusters: %w", err)
	}
	return Run(ctx, config)
}

// turn is this process's lock on the machine. It is never given back: a process
// that has tested with a cluster will do so again, and go test starts each
// package's when it can.
var turn struct {
	sync.Mutex
	lock *os.File
}

// Turn waits until no other test process has a cluster, for tests that start
// theirs with Run; Start and Shared do it themselves.
func Turn(ctx context.Context, logf func(string, ...any)) error { return oneTestProcess(ctx, logf) }

// oneTestProcess waits until no other test process has a cluster: go test runs
// packages side by side, and what they measure on a shared machine would be each
// other. Clusters that Run started, as the command does, don't count.
func oneTestProcess(ctx context.Context, logf func(string, ...any)) error {
	turn.Lock()
	defer turn.Unlock()
	if turn.lock != nil {
		return nil
	}
	if err := os.MkdirAll(sandbox.Root, 0o700); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(sandbox.Root, "tests.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	for told := false; ; told = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			turn.lock = file
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			file.Close()
			return err
		}
		if !told {
			logf("another test process has a cluster: waiting for its end")
		}
		select {
		case <-ctx.Done():
			file.Close()
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// keepLogs copies the components' logs into .cache when the test has failed.
func keepLogs(t T, c *Cluster) {
	if !t.Failed() {
		return
	}
	cache, err := repo.Cache("cluster")
	if err != nil {
		t.Logf("keeping the cluster's logs: %v", err)
		return
	}
	dir := filepath.Join(cache, "logs", strings.ReplaceAll(t.Name(), "/", "_"))
	_ = os.RemoveAll(dir)
	if err := os.CopyFS(dir, os.DirFS(c.LogDir)); err != nil {
		t.Logf("keeping the cluster's logs: %v", err)
		return
	}
	t.Logf("the cluster's logs are in %s", dir)
}
