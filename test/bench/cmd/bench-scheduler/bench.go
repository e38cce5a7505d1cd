package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/controlplane"
)

// bench is one run of the program.
type bench struct {
	options
	cluster *cluster.Cluster
	argv    []string // of the scheduler
	dir     string
	report  *report
	on      *allOn // nil unless all is on
	stop    context.CancelFunc
}

// newBench prepares a run; without argv the subject is onejob, built here.
func newBench(ctx context.Context, o options, c *cluster.Cluster, argv []string) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench-scheduler")
	if err != nil {
		return nil, err
	}
	nctx, stop := context.WithCancel(ctx)
	b := &bench{options: o, cluster: c, argv: argv, dir: dir, report: newReport(argv), stop: stop}
	if len(argv) == 0 {
		path, err := controlplane.BuildOnejob(ctx, dir)
		if err != nil {
			b.close()
			return nil, err
		}
		b.argv = []string{path, "schedule", "--config", "$CONFIG", "--listen", "$LISTEN"}
	}
	if err := controlplane.Node(nctx, c); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() {
	b.stop()
	_ = os.RemoveAll(b.dir)
}

// run runs the scenarios that were asked for. For d what it leaves takes long to
// be cleared away, and in i the API server goes: they are the last ones.
func (b *bench) run(ctx context.Context) {
	for _, s := range []struct {
		letters string
		what    string
		run     func(context.Context, *subject) error
		cap     int
	}{
		{"a", fmt.Sprintf("latency at %g arrivals a second", b.rate), b.latency, 0},
		{"h", "paused queue", b.pausedQueue, 0},
		{"g", "pods lost before acquisition", b.lostPods, 0},
		{"f", "restart at the cap", b.restartAtCap, b.cap},
		{"e", "kill -9 in mid-burst", b.killed, 0},
		{"bc", fmt.Sprintf("%d jobs at once", b.burst), b.bursts, 0},
		{"d", "memory and CPU", b.weigh, 0},
	} {
		if !strings.ContainsAny(b.scenarios, s.letters) || ctx.Err() != nil {
			continue
		}
		times := []*allOn{nil}
		if b.allOn && strings.ContainsAny(s.letters, "abd") {
			times = append(times, &allOn{})
		}
		for i, on := range times {
			last := s.letters == "d" && !strings.Contains(b.scenarios, "i") && i == len(times)-1
			b.measure(ctx, s.letters, s.what, s.cap, last, on, s.run)
		}
	}
	b.report.compare()
	if strings.Contains(b.scenarios, "i") {
		b.outages(ctx)
	}
}

// measure runs a scenario, with all on or without.
func (b *bench) measure(ctx context.Context, letters, what string, cap int, last bool, on *allOn, run func(context.Context, *subject) error) {
	logf("%s: %s%s", letters, what, map[bool]string{true: ", all on"}[on != nil])
	b.on, b.report.mark = on, map[bool]string{true: marked}[on != nil]
	settings := fmt.Sprintf("  max-in-flight: %d\n%s", cap, on.settings())
	if err := b.scenario(ctx, cap, settings, last, run); err != nil {
		b.report.fail(letters[:1], what, err)
	}
	b.on, b.report.mark = nil, ""
	on.report(b.report, letters[:1])
}

// patience bounds one scenario: the slowest scheduler that was measured needed
// 99 seconds for a burst.
const patience = 15 * time.Minute

func (b *bench) scenario(ctx context.Context, cap int, settings string, last bool, run func(context.Context, *subject) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	set, err := controlplane.Open(ctx, b.cluster, simulator.Config{})
	if err != nil {
		return err
	}
	defer set.Close() //nolint:errcheck // the cluster goes too
	end, err := b.on.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	config, err := set.Configure(settings)
	if err != nil {
		return err
	}
	s := &subject{Fixture: set, argv: b.argv, variables: map[string]string{"CONFIG": config, "MAX_IN_FLIGHT": strconv.Itoa(cap), "LISTEN": b.on.listen()}}
	if b.file != "" {
		text, err := os.ReadFile(b.file)
		if err != nil {
			return err
		}
		path := filepath.Join(set.Dir, filepath.Base(b.file))
		if err := os.WriteFile(path, []byte(set.Expand(string(text), s.variables)), 0o600); err != nil {
			return err
		}
		s.variables["FILE"] = path
	}
	defer s.kill()
	if err := run(ctx, s); err != nil {
		return err
	}
	s.kill()
	if last {
		return nil
	}
	return set.Clear(ctx)
}

// subject is the scheduler that is measured, and what it works in.
type subject struct {
	*controlplane.Fixture
	argv      []string
	variables map[string]string
	process   *controlplane.Process
}

// launch starts the scheduler.
func (s *subject) launch() (err error) {
	s.process, err = s.Start(s.argv, s.variables)
	return err
}

// start launches the scheduler and returns when it asks for jobs.
func (s *subject) start(ctx context.Context) error {
	listed := s.Simulator.Count("stacks_list")
	if err := s.launch(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("not within %s", time.Minute))
	defer cancel()
	return s.Serving(ctx, s.process, listed)
}

func (s *subject) kill() {
	if s.process != nil {
		s.process.Kill()
	}
}

// pause waits; false means that ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
