// Command chaos hurts a real cluster with onejob on it, by a seed, and judges
// what came of its jobs (package chaos). It exits 1 when something must not be.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/logging"
	"github.com/onejob-dev/onejob/test/chaos"
)

func main() {
	o := chaos.Options{Root: "."}
	flag.Uint64Var(&o.Seed, "seed", rand.Uint64N(1e6), "seed of the plan and the jobs")
	flag.IntVar(&o.Jobs, "jobs", 500, "how many jobs come in")
	flag.DurationVar(&o.For, "for", 15*time.Minute, "how long there are injuries")
	flag.DurationVar(&o.Every, "every", 4*time.Second, "one injury so often, on average")
	flag.DurationVar(&o.TTL, "ttl", time.Minute, "how long finished kjobs stay")
	profile := flag.String("profile", "", "what Buildkite does where nobody can know: a file with answers to docs/assumptions.md, shipped or opposite; by default shipped for an even seed, opposite for an odd one")
	flag.Parse()
	if *profile == "" {
		*profile = chaos.ProfileOf(o.Seed)
	}
	var err error
	if o.Profile, err = assumptions.Load(*profile); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	screen := newScreen(os.Stdout, logging.Terminal(os.Stdout))
	o.Line = screen.line
	if screen.terminal {
		o.Status = screen.status
	}
	o.Line(fmt.Sprintf("seed %d: repeat it with --seed=%[1]d --jobs=%d --for=%s --every=%s --ttl=%s --profile=%s", o.Seed, o.Jobs, o.For, o.Every, o.TTL, *profile))
	report, err := chaos.Run(ctx, o)
	if report != nil {
		screen.line("\n" + report.String())
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	case !report.Passed():
		os.Exit(1)
	}
}
