// Command bench-scheduler measures a scheduler of Buildkite jobs from outside,
// on a real control plane and the simulator over HTTP, and holds the figures
// against the bar and against those of agent-stack-k8s.
//
//	go run ./test/bench/cmd/bench-scheduler                        # onejob of this checkout
//	go run ./test/bench/cmd/bench-scheduler -scenarios bc -rounds 3
//	go run ./test/bench/cmd/bench-scheduler -scenarios abd -all-on # what it costs to be seen
//	go run ./test/bench/cmd/bench-scheduler -- path/to/onejob schedule --config '$CONFIG' --listen :9090 --pprof
//	go run ./test/bench/cmd/bench-scheduler -file peer.yaml -- agent-stack-k8s --config '$FILE'
//
// In the command line and in -file are replaced: $KUBECONFIG, $NAMESPACE,
// $ENDPOINT (of the Agent and Stacks API), $TOKEN, $QUEUE, $MAX_IN_FLIGHT;
// $CONFIG is a onejob.yaml that was written for the scenario, $FILE what -file
// became; $LISTEN is an address to listen at, or nothing. KUBECONFIG and BUILDKITE_AGENT_TOKEN are in the environment, the token
// is in the namespace's Secrets under the names of both. The program given must
// be the scheduler itself: its memory and its processor time are measured.
//
// It exits with 1 if a bar is missed, which a busy machine can do too; with
// -report it only tells. It needs root, as test/cluster does. Nothing runs in the pods: a fake kubelet
// reports for kubelet and runner.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/test/cluster"
)

// options are what is measured, and how much.
type options struct {
	scenarios  string
	arrivals   int
	rate       float64
	burst      int
	rounds     int
	weights    []int
	settle     time.Duration
	cap, more  int
	lost       int
	paused     int
	watched    time.Duration
	allOn      bool
	file       string
	output     string
	reportOnly bool
}

func main() {
	var o options
	flag.StringVar(&o.scenarios, "scenarios", "abcdefghi", "which to run: a latency, b burst (with c, calls), d memory and CPU, e kill -9, f restart at the cap, g lost pods, h paused queue, i outages")
	flag.IntVar(&o.arrivals, "arrivals", 240, "a: how many jobs arrive")
	flag.Float64Var(&o.rate, "rate", 2, "a: how many arrive a second, at random (Poisson)")
	flag.IntVar(&o.burst, "burst", 1000, "b, e: how many jobs come at once")
	flag.IntVar(&o.rounds, "rounds", 3, "b: how often; medians are reported")
	flag.Func("weights", "d: `NUMBERS` of kjobs at which the memory is read (default 1000,5000,10000)", func(text string) (err error) {
		o.weights, err = numbers(text)
		return err
	})
	flag.DurationVar(&o.settle, "settle", 10*time.Second, "d: how long nothing is done before the memory is read")
	flag.IntVar(&o.cap, "cap", 25, "f: max-in-flight")
	flag.IntVar(&o.more, "more", 100, "f: how many jobs arrive during the restart")
	flag.IntVar(&o.lost, "lost", 100, "g: how many pods are lost")
	flag.IntVar(&o.paused, "paused", 50, "h: how many jobs arrive in the paused queue")
	flag.DurationVar(&o.watched, "watched", 30*time.Second, "e: how long after the restart jobs without a kjob are counted; f, h: half of it is how long is watched for kjobs too many")
	flag.BoolVar(&o.allOn, "all-on", false, "j: measure a, b and d a second time with traces to a collector, holds allowed and the status page looked at, and tell how far that is from the first time")
	flag.StringVar(&o.file, "file", "", "a file in which the variables are replaced, for $FILE")
	flag.StringVar(&o.output, "o", "table", "output: table or json")
	flag.BoolVar(&o.reportOnly, "report", false, "only report: a bar that is missed is no failure")
	flag.Parse()
	if o.weights == nil {
		o.weights = []int{1000, 5000, 10000}
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "bench-scheduler:", err)
		os.Exit(1)
	}
}

func numbers(text string) (out []int, err error) {
	for field := range strings.SplitSeq(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || len(out) > 0 && n <= out[len(out)-1] {
			return nil, fmt.Errorf("%q: want numbers that grow, as 1000,5000", text)
		}
		out = append(out, n)
	}
	return out, nil
}

func (o options) check() error {
	switch {
	case strings.Trim(o.scenarios, "abcdefghi") != "":
		return fmt.Errorf("-scenarios %s: want some of abcdefghi", o.scenarios)
	case o.output != "table" && o.output != "json":
		return fmt.Errorf("-o %s: want table or json", o.output)
	case min(o.arrivals, o.burst, o.rounds, o.cap, o.more, o.lost, o.paused) < 1 || o.rate <= 0:
		return errors.New("of everything there must be one at least")
	}
	return nil
}

func run(ctx context.Context, o options, argv []string) error {
	if err := o.check(); err != nil {
		return err
	}
	c, err := cluster.Run(ctx, cluster.Config{Logf: logf})
	if err != nil {
		return err
	}
	defer c.Close() //nolint:errcheck // it ends with this process at the latest
	b, err := newBench(ctx, o, c, argv)
	if err != nil {
		return err
	}
	defer b.close()
	b.run(ctx)
	if o.output == "json" {
		err = b.report.writeJSON(os.Stdout)
	} else {
		err = b.report.writeTable(os.Stdout)
	}
	err = errors.Join(err, b.report.failed())
	if !o.reportOnly {
		err = errors.Join(err, b.report.missed())
	}
	return err
}

func logf(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }
