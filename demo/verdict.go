package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// verdict compares what happened with what the pipeline is made to show.
type verdict struct {
	out    io.Writer
	failed int
}

func (v *verdict) check(ok bool, format string, a ...any) {
	mark := "ok  "
	if !ok {
		mark, v.failed = "FAIL", v.failed+1
	}
	fmt.Fprintf(v.out, "  %s %s\n", mark, fmt.Sprintf(format, a...))
}

func (v *verdict) err() error {
	if v.failed > 0 {
		return fmt.Errorf("%d of the expectations above weren't met", v.failed)
	}
	return nil
}

// build checks what Buildkite has of the build.
func (v *verdict) build(sim *simulator.Simulator, number int) {
	jobs := sim.Jobs()
	count := func(match func(simulator.Job) bool) int {
		n := 0
		for _, j := range jobs {
			if match(j) {
				n++
			}
		}
		return n
	}
	b, _ := sim.Build(number)
	passed := count(func(j simulator.Job) bool { return j.Passed })
	complete := count(func(j simulator.Job) bool { return j.LogComplete && j.LogBytes > 0 })
	violations := append(sim.Violations(), sim.CheckSettled()...)
	v.check(len(jobs) == 12 && passed == 10, "%d jobs, %d passed, a checkout of a git repository in each", len(jobs), passed)
	v.check(count(func(j simulator.Job) bool { return j.ExitStatus == "7" && j.RetriedBy != "" }) == 1, "the flaky one failed with 7 and was retried by Buildkite")
	v.check(count(func(j simulator.Job) bool { return j.State == simulator.StateCanceled && j.SignalReason == "cancel" }) == 1, "the endless one was canceled from the page")
	v.check(len(sim.Artifacts(number)) == 3, "%d artifacts were uploaded, and downloaded by the tests", len(sim.Artifacts(number)))
	v.check(len(b.Annotations) == 1, "%d annotation, made from meta-data", len(b.Annotations))
	v.check(complete == len(jobs), "%d of %d logs are complete to the byte", complete, len(jobs))
	v.check(b.State == simulator.BuildFailed, "the build %s, as it must with a job canceled", b.State)
	v.check(len(violations) == 0, "the ledger has no violation%s", listed(violations))
}

// verdict adds what the runners' processes left.
func (d *demo) verdict(build int) error {
	v := &verdict{out: d.out}
	fmt.Fprintln(d.out)
	v.build(d.sim, build)
	honest := 0
	for id, r := range d.runners {
		job, _ := d.sim.Job(id)
		if r.code == contract.ExitOK && r.msg.ExitStatus != nil && fmt.Sprint(*r.msg.ExitStatus) == job.ExitStatus {
			honest++
		}
	}
	v.check(honest == len(d.sim.Jobs()), "%d exit codes and termination messages agree with Buildkite", honest)
	fmt.Fprintf(d.out, "\nThe runners' logs and messages: %s\n", filepath.Join(d.dir, "*.log"))
	return v.err()
}

func listed(violations []simulator.Violation) string {
	var s strings.Builder
	for _, v := range violations {
		fmt.Fprintf(&s, "; %+v", v)
	}
	return s.String()
}
