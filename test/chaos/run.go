package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/fixture"
)

// Options say how much chaos there is to be.
type Options struct {
	// Root is the repository's folder.
	Root string
	// Seed is that of the plan and of the jobs.
	Seed uint64
	// Jobs is how many jobs come in while there are injuries, which is for
	// For, one Every so often.
	Jobs       int
	For, Every time.Duration
	// TTL is how long finished kjobs stay: longer than the schedulers are kept
	// from seeing them, or nobody learns how they ended.
	TTL time.Duration
	// Profile is what Buildkite does where nobody can know; see ProfileOf.
	Profile assumptions.Profile
	// Line is given the record, line by line; Status, when set, the state of
	// things every so often.
	Line   func(string)
	Status func(string)
}

const (
	maxInFlight = 12
	// heartbeatTimeout is how soon Buildkite gives up a silent agent.
	heartbeatTimeout = time.Minute
	// The rest guards against hangs alone: all jobs may still be in line when the
	// injuries cease.
	settleTimeout = 10 * time.Minute
	settlePerJob  = 3 * time.Second
	cleanTimeout  = 5 * time.Minute
)

// ProfileOf is the profile of a seed, by its name: runs of even and odd seeds have opposite
// ones.
func ProfileOf(seed uint64) string {
	if seed%2 == 1 {
		return assumptions.NameOpposite
	}
	return assumptions.NameShipped
}

// Run carries a plan out and judges what came of it. Its error is that of the
// machinery; what is wrong with onejob is in the report.
func Run(ctx context.Context, o Options) (_ *Report, err error) {
	ctx, cancel := context.WithTimeout(ctx, o.For+time.Hour)
	defer cancel()
	if err := cluster.Turn(ctx, o.linef); err != nil {
		return nil, err
	}
	setting, err := fixture.Up(ctx, fixture.Options{
		Root: o.Root, Nodes: 2, Config: fixture.QueueConfig(maxInFlight, int(o.TTL.Seconds())) + fixture.TrustFront, TLS: true, Logf: o.linef,
		Simulator: simulator.Config{Seed: o.Seed, Profile: o.Profile, HeartbeatTimeout: heartbeatTimeout},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, setting.Close()) }()
	// Beside the cluster's own files: log files get second names there, which
	// can't be on another file system.
	logs, err := os.MkdirTemp("/var/tmp", "onejob-chaos-")
	if err != nil {
		return nil, err
	}
	report := &Report{Seed: o.Seed, Logs: logs, Injuries: map[string]int{}}
	defer func() {
		if err == nil && report.Passed() {
			report.Logs = ""
			err = os.RemoveAll(logs)
		}
	}()
	witness, stop, err := watchCluster(ctx, setting.Cluster, logs)
	if err != nil {
		return nil, err
	}
	defer stop()
	counter, err := count(setting.Cluster.HostAddress)
	if err != nil {
		return nil, err
	}
	defer counter.server.Close()
	m := &machine{Installation: setting, witness: witness, cancelled: map[string]bool{}, erased: map[string]time.Time{}}
	if m.port, err = portOf(setting.URL); err != nil {
		return nil, err
	}
	builds, err := work(o.Seed, o.Jobs, o.For*9/10, counter.address)
	if err != nil {
		return nil, err
	}
	return report, m.run(ctx, o, report, counter, builds)
}

func (o Options) linef(format string, args ...any) { o.Line(fmt.Sprintf(format, args...)) }

func (m *machine) run(ctx context.Context, o Options, report *Report, counter *counter, builds []build) error {
	began := time.Now()
	defer m.tellStatus(o, began)()
	var wanted map[string]string
	var feeding error
	var wg sync.WaitGroup
	wg.Go(func() { wanted, feeding = feed(ctx, m.Simulator, builds) })
	m.strikeAll(ctx, o, report, began)
	wg.Wait()
	if feeding != nil {
		return feeding
	}

	if err := m.healAll(ctx); err != nil {
		return fmt.Errorf("healing: %w", err)
	}
	if err := m.calm(ctx); err != nil {
		return err
	}
	calm, after := time.Now(), uint64(len(m.Simulator.Ledger()))
	o.linef("%6.1fs  all injuries have ceased, a scheduler is ready; %s", time.Since(began).Seconds(), m.states())
	sctx, cancel := context.WithTimeout(ctx, settleTimeout+time.Duration(o.Jobs)*settlePerJob)
	defer cancel()
	// A hang is what the judgement says of jobs that aren't over.
	_ = m.Simulator.Wait(sctx, func() bool { return m.open() == 0 })
	o.linef("%6.1fs  the jobs have ended: %s", time.Since(began).Seconds(), m.states())
	left := m.clean(ctx)
	o.linef("%6.1fs  the cluster is clean", time.Since(began).Seconds())

	e := Evidence{
		Jobs: m.Simulator.Jobs(), Ledger: m.Simulator.Ledger(), Violations: m.Simulator.CheckSettled(),
		Slots: maxInFlight, Wanted: wanted, Cancelled: m.cancelled, Untraced: m.untraced(), Runs: map[string][]Execution{}, Told: m.witness.toldOf(), CalmAfter: after, Calm: calm, Left: left,
	}
	for _, job := range e.Jobs {
		e.Runs[job.ID] = counter.of(job.ID)
		report.Attempts += m.witness.attempts(job.ID)
	}
	report.Jobs, report.Judgement = len(e.Jobs), Judge(e)
	report.Problems = append(report.Problems, spared(report.Injuries)...)
	report.Took = time.Since(began)
	for _, p := range report.Problems {
		if p.JobID != "" && len(report.Stories) < maxStories {
			report.Stories = append(report.Stories, m.story(p.JobID, e.Ledger, began))
		}
	}
	return nil
}

// strikeAll carries the plan out, and returns when all wounds are healed.
func (m *machine) strikeAll(ctx context.Context, o Options, report *Report, began time.Time) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	say := func(w wound, format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		o.linef("%6.1fs  %s", time.Since(began).Seconds(), text)
		for _, id := range w.jobs {
			m.witness.add(id, "chaos", "%s", text)
		}
	}
	for _, s := range plan(o.Seed, injuries, o.For, o.Every) {
		if !sleep(ctx, time.Until(began.Add(s.at))) {
			break
		}
		wg.Go(func() {
			sctx, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			w, err := s.injury.do(sctx, m, rand.New(rand.NewPCG(s.dice, 0)))
			for errors.Is(err, errNobody) && sleep(sctx, 200*time.Millisecond) {
				w, err = s.injury.do(sctx, m, rand.New(rand.NewPCG(s.dice, 0)))
			}
			mu.Lock()
			name := s.injury.name
			if err != nil {
				name += missed
			}
			report.Injuries[name]++
			mu.Unlock()
			if s.injury.unseats && err == nil {
				m.mu.Lock()
				m.unseated = append(m.unseated, time.Now())
				m.mu.Unlock()
			}
			switch {
			case err != nil:
				say(wound{}, "%s: missed: %s %v", s.injury.name, w.what, err)
			case s.lasts > 0:
				say(w, "%s, for %.1f s: %s", s.injury.name, s.lasts.Seconds(), w.what)
			default:
				say(w, "%s: %s", s.injury.name, w.what)
			}
			if w.heal == nil {
				return
			}
			sleep(ctx, time.Until(began.Add(s.at+s.lasts)))
			// The end of ctx is no reason to leave a wound open.
			hctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			if err := w.heal(hctx); err != nil {
				say(w, "%s: healing: %v", s.injury.name, err)
				return
			}
			say(w, "%s: over", s.injury.name)
		})
	}
	wg.Wait()
}

// tellStatus tells the state of things until the function it returns is called.
func (m *machine) tellStatus(o Options, began time.Time) (stop func()) {
	if o.Status == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Second):
				o.Status(fmt.Sprintf("%6.1fs  %d of %d jobs came, %d are open: %s", time.Since(began).Seconds(), m.came(), o.Jobs, m.open(), m.states()))
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func portOf(address string) (int, error) {
	u, err := url.Parse(address)
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}
