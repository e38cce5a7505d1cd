// Command bench-pods measures how long a job's pod takes to say its first word, on a
// real cluster with one node, beside a bare Kubernetes Job of the same image in the same
// run, by turns: the machine is shared, so that only the ratio counts.
//
//	go run ./test/bench/cmd/bench-pods            # what make bench-pods does
//	go run ./test/bench/cmd/bench-pods -n 5 -scenarios a
//
//	a  one job after another: kjob created → first line of the command's output at Buildkite
//	   with -containerd2, image: also with programs by an image volume
//	b  many jobs with image: at once, beside as many bare Jobs, and as many with two containers
//	c  the runner's memory while a command container works
//
// All images are on the node before anything is measured. "Created" is when a watch shows
// the Kubernetes Job. A bare Job's line is there when the node's runtime reads it.
// It exits with 1 if a bar is missed, which a busy machine can do too; with -report it
// only tells. It needs root, as test/cluster does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// options are what is measured, and how much.
type options struct {
	scenarios  string
	n, burst   int
	reportOnly bool
	// containerd2: the node has that instead of Debian's.
	containerd2 bool
}

func main() {
	var o options
	flag.StringVar(&o.scenarios, "scenarios", "abc", "which to run")
	flag.IntVar(&o.n, "n", 20, "a: how many jobs of each kind, one after another")
	flag.IntVar(&o.burst, "burst", 50, "b: how many jobs at once")
	flag.BoolVar(&o.reportOnly, "report", false, "only report: a bar that is missed is no failure")
	flag.BoolVar(&o.containerd2, "containerd2", false, "with containerd 2 on the node, built from source, and image volumes beside copies")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-pods:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if strings.Trim(o.scenarios, "abc") != "" || min(o.n, o.burst) < 1 {
		return errors.New("want some of the scenarios abc, and of everything one at least")
	}
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close() //nolint:errcheck // it ends with this process at the latest
	for _, s := range []struct {
		letter string
		run    func(context.Context) error
	}{{"a", b.starts}, {"c", b.memory}, {"b", b.atOnce}} {
		if !strings.Contains(o.scenarios, s.letter) || err != nil {
			continue
		}
		if err = s.run(ctx); err != nil {
			err = fmt.Errorf("scenario %s: %w", s.letter, err)
		}
	}
	b.report.print(os.Stdout) // what there is of it
	if err != nil || o.reportOnly {
		return err
	}
	return b.report.missed()
}

func logf(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
