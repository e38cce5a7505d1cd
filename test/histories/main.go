//go:debug randseednop=0

// Command histories tells random histories of the scheduler, each from its seed, and
// judges them: a few jobs, pods' fates, crashes, lost replies, late watches, two
// leaders, outages, all in virtual time.
//
//	seed ─▶ plan.go ─▶ history.go: simulator, cluster, scheduler instances, trouble ─▶ check.go: invariants
//
// It prints the story of each bad history: the violations, each begun with its
// invariant and a colon, the plan, the trace, and how to replay it. Then comes a line
// of figures, and PASS or FAIL. With --seed it prints that history's story, bad or
// not. The exit status is 0 if none was bad, and 1 otherwise.
//
// make histories runs many of them, and plants the bugs of testdata/mutants, each of
// which they must find.
package main

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/onejob-dev/onejob/assumptions"
)

func main() {
	var o options
	flags := flag.NewFlagSet("histories", flag.ExitOnError)
	flags.IntVar(&o.count, "n", 1000, "how many histories to tell")
	flags.Uint64Var(&o.from, "from", 1, "the first one's seed")
	flags.IntVar(&o.bad, "bad", 3, "stop after so many bad ones")
	flags.Uint64Var(&o.seed, "seed", 0, "tell this history alone, and print its story")
	flags.IntVar(&o.times, "times", 1, "with --seed: tell it so often, and print only bad ones; one in twenty goes another way, where a select has a choice")
	flags.BoolVar(&o.log, "log", false, "with --seed: the schedulers' own log is in the trace")
	flags.StringVar(&o.profileName, "profile", "", "what Buildkite does where nobody can know: a file with answers to docs/assumptions.md, shipped or opposite; one at random for each history by default")
	_ = flags.Parse(os.Args[1:]) // it exits
	if o.profileName != "" {
		profile, err := assumptions.Load(o.profileName)
		if err != nil {
			fmt.Fprintln(os.Stderr, "histories:", err)
			os.Exit(2)
		}
		o.profile = &profile
	}
	if flags.NArg() > 0 {
		flags.Usage()
		os.Exit(2)
	}
	// A bubble of virtual time has to be a test's.
	os.Args = []string{os.Args[0], "-test.timeout=0"}
	testing.Main(func(string, string) (bool, error) { return true, nil },
		[]testing.InternalTest{{Name: "histories", F: func(t *testing.T) { tell(t, o, os.Stdout) }}}, nil, nil)
}
