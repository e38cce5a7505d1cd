package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// The bar: half the time, three quarters of the memory, a tenth of a second.
const (
	barStart  = 0.5
	barMemory = 0.75
	barExit   = 100 * time.Millisecond
)

// measureSize weighs the binaries. There is no bar for it.
func measureSize(_ context.Context, l *lab, _ options, r *report) error {
	size := func(names ...string) (sum int64, err error) {
		for _, name := range names {
			info, err := os.Stat(filepath.Join(l.bin, name))
			if err != nil {
				return 0, err
			}
			sum += info.Size()
		}
		return sum, nil
	}
	waits, err := size("onejob-agent")
	if err != nil {
		return err
	}
	all, err := size("onejob-agent", "onejob-run")
	if err != nil {
		return err
	}
	theirs, err := size("buildkite-agent")
	if err != nil {
		return err
	}
	r.add("size of what waits for the job", "", map[string]string{stock.name: mb(theirs), onejob.name: mb(waits)}, nil)
	r.add("size with what runs it (the bootstrap apart)", "", map[string]string{stock.name: mb(theirs), onejob.name: mb(all)}, nil)
	return nil
}

// measureStarts takes the time from exec to the arrival of register.
func measureStarts(ctx context.Context, l *lab, o options, r *report) error {
	defer l.lock()()
	took, err := l.inTurns(ctx, o.starts, "starts", func(p *process) (int64, error) {
		e, err := l.await(ctx, "register")
		if err != nil {
			return 0, err
		}
		if _, err := l.await(ctx, "acquire"); err != nil { // it has a signal handler by then
			return 0, err
		}
		_, err = p.stop()
		return int64(e.at.Sub(p.began)), err
	})
	if err != nil {
		return err
	}
	bar := float64(took[stock.name].median()) * barStart
	r.addTimes("start to first request, median", took, samples.median,
		"half of the stock agent's", func(d time.Duration) bool { return float64(d) <= bar })
	r.addTimes("start to first request, fastest", took, samples.least, "", nil)
	return nil
}

// measureMemory reads the memory of a runner in a long backoff.
func measureMemory(ctx context.Context, l *lab, o options, r *report) error {
	if !l.privileged {
		r.note("Memory isn't measured: onejob-agent's processes can't be looked at without root.")
		return nil
	}
	defer l.lock()()
	count := map[string]int{}
	used, err := l.inTurns(ctx, o.memory, "memory", func(p *process) (int64, error) {
		if _, err := l.await(ctx, "acquire"); err != nil {
			return 0, err
		}
		if err := sleep(ctx, o.settle); err != nil {
			return 0, err
		}
		n, processes, err := p.memory()
		if err != nil {
			return 0, err
		}
		count[p.name] = processes
		_, err = p.stop()
		return n, err
	})
	if err != nil {
		return err
	}
	bar := float64(used[stock.name].median()) * barMemory
	cells, verdicts := map[string]string{}, map[string]bool{}
	for _, s := range l.subjects {
		m := used[s.name].median()
		cells[s.name] = mb(m)
		if count[s.name] > 1 {
			cells[s.name] += fmt.Sprintf(" in %d", count[s.name])
		}
		if s.name != stock.name {
			verdicts[s.name] = float64(m) <= bar
		}
	}
	r.add("memory in backoff (PSS of all processes), median", "3/4 of the stock agent's", cells, verdicts)
	return nil
}

// measureSignals takes the time from SIGTERM in backoff to the exit.
func measureSignals(ctx context.Context, l *lab, o options, r *report) error {
	defer l.lock()()
	codes := map[string]map[int]int{}
	took, err := l.inTurns(ctx, o.signals, "signals", func(p *process) (int64, error) {
		if _, err := l.await(ctx, "acquire"); err != nil {
			return 0, err
		}
		// The reply must have come through, and the wait have begun.
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
		d, err := p.stop()
		if codes[p.name] == nil {
			codes[p.name] = map[int]int{}
		}
		codes[p.name][p.cmd.ProcessState.ExitCode()]++
		return int64(d), err
	})
	if err != nil {
		return err
	}
	within := func(d time.Duration) bool { return d <= barExit }
	r.addTimes("SIGTERM in backoff to exit, p50", took, samples.median, "100 ms", within)
	r.addTimes("SIGTERM in backoff to exit, p99", took, samples.p99, "100 ms", within)
	r.addTimes("SIGTERM in backoff to exit, slowest", took, samples.most, "", nil)
	for _, s := range l.subjects {
		r.note("Exit codes after SIGTERM in backoff, %s: %s.", s.name, counts(codes[s.name]))
	}
	return nil
}

// measureJobs takes the time from the job's grant to its start, and of a whole
// run. There is no bar for it.
func measureJobs(ctx context.Context, l *lab, o options, r *report) error {
	whole := map[string]samples{}
	toStart, err := l.inTurns(ctx, o.jobs, "jobs", func(p *process) (int64, error) {
		granted, err := l.await(ctx, "acquire")
		if err != nil {
			return 0, err
		}
		started, err := l.await(ctx, "start")
		if err != nil {
			return 0, err
		}
		if err := p.cmd.Wait(); err != nil {
			return 0, err
		}
		whole[p.name] = append(whole[p.name], int64(time.Since(p.began)))
		return int64(started.at.Sub(granted.replied)), nil
	})
	if err != nil {
		return err
	}
	r.addTimes("acquired to job start, median", toStart, samples.median, "", nil)
	r.addTimes("a whole job (`true`, no checkout), median", whole, samples.median, "", nil)
	return nil
}

// inTurns runs each subject n times, in turns, so that what else the machine
// does falls on all of them alike. measure ends the process.
func (l *lab) inTurns(ctx context.Context, n int, what string, measure func(*process) (int64, error)) (map[string]samples, error) {
	took := map[string]samples{}
	// Once for nothing: the binaries are then in the page cache.
	for i := range n + 1 {
		fmt.Fprintf(os.Stderr, "\r%s: %d of %d ", what, i, n)
		for _, s := range l.subjects {
			job, err := l.job()
			if err != nil {
				return nil, err
			}
			p, err := l.start(ctx, s, job)
			if err != nil {
				return nil, err
			}
			d, err := measure(p)
			if err != nil {
				return nil, p.complain(err)
			}
			if i > 0 {
				took[s.name] = append(took[s.name], d)
			}
		}
	}
	fmt.Fprintln(os.Stderr)
	return took, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
