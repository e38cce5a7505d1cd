// Command bench-runner measures onejob-agent beside the stock agent, in turns,
// on this machine, and holds the figures against the bar.
//
//	go run ./test/bench/cmd/bench-runner
//
// Both are built as for the image, and run against the simulator in this
// process. To run onejob-agent as PID 1, and to read the memory of processes
// that can't be dumped, it needs root; what it can't measure it says. It exits
// with 1 if a bar is missed, which a busy machine can do too: so no test runs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// options are how much is measured.
type options struct {
	starts, memory, signals, jobs int
	settle                        time.Duration
}

func main() {
	var o options
	flag.IntVar(&o.starts, "starts", 31, "how often each is started")
	flag.IntVar(&o.memory, "memory", 5, "how often each one's memory is measured")
	flag.DurationVar(&o.settle, "settle", 5*time.Second, "how long it has been in backoff before its memory is measured")
	flag.IntVar(&o.signals, "signals", 100, "how often each is sent SIGTERM in backoff")
	flag.IntVar(&o.jobs, "jobs", 11, "how often each runs a job")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-runner:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if o.starts < 1 || o.memory < 1 || o.signals < 1 || o.jobs < 1 {
		return errors.New("each kind must be measured once at least")
	}
	bin, err := build(ctx)
	if err != nil {
		return err
	}
	l, err := newLab(bin)
	if err != nil {
		return err
	}
	defer l.close()

	r := &report{host: host()}
	for _, measure := range []func(context.Context, *lab, options, *report) error{
		measureSize, measureStarts, measureMemory, measureSignals, measureJobs,
	} {
		if err := measure(ctx, l, o, r); err != nil {
			return err
		}
	}
	r.print(os.Stdout)
	return r.missed()
}
