package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// verdict compares what happened with what the pipeline is made to show.
func (d *demo) verdict(build int) error {
	jobs := d.sim.Jobs()
	count := func(match func(simulator.Job) bool) int {
		n := 0
		for _, j := range jobs {
			if match(j) {
				n++
			}
		}
		return n
	}
	b, _ := d.sim.Build(build)
	violations := append(d.sim.Violations(), d.sim.CheckSettled()...)
	honest, reported := 0, 0
	for id, r := range d.runners {
		job, _ := d.sim.Job(id)
		if r.code == contract.ExitOK && r.msg.ExitStatus != nil && fmt.Sprint(*r.msg.ExitStatus) == job.ExitStatus {
			honest++
		}
		if job.LogComplete && job.LogBytes > 0 {
			reported++
		}
	}
	failed := 0
	check := func(ok bool, format string, a ...any) {
		mark := "ok  "
		if !ok {
			mark, failed = "FAIL", failed+1
		}
		fmt.Fprintf(d.out, "  %s %s\n", mark, fmt.Sprintf(format, a...))
	}
	fmt.Fprintln(d.out)
	check(len(jobs) == 11 && len(d.runners) == len(jobs), "%d jobs, one process each: %d", len(jobs), len(d.runners))
	check(count(func(j simulator.Job) bool { return j.Passed }) == 9, "%d passed, a checkout of a git repository in each", count(func(j simulator.Job) bool { return j.Passed }))
	check(count(func(j simulator.Job) bool { return j.ExitStatus == "7" && j.RetriedBy != "" }) == 1, "the flaky one failed with 7 and was retried by Buildkite")
	check(count(func(j simulator.Job) bool { return j.State == simulator.StateCanceled && j.SignalReason == "cancel" }) == 1, "the endless one was canceled from the page")
	check(len(d.sim.Artifacts(build)) == 3, "%d artifacts were uploaded, and downloaded by the tests", len(d.sim.Artifacts(build)))
	check(len(b.Annotations) == 1, "%d annotation, made from meta-data", len(b.Annotations))
	check(honest == len(jobs), "%d of %d exit codes and termination messages agree with Buildkite", honest, len(jobs))
	check(reported == len(jobs), "%d of %d logs are complete to the byte", reported, len(jobs))
	check(len(violations) == 0, "the ledger has no violation%s", listed(violations))
	fmt.Fprintf(d.out, "\nBuild %s, as it must with a job canceled. The runners' logs and messages: %s\n", b.State, filepath.Join(d.dir, "*.log"))
	if failed > 0 {
		return fmt.Errorf("%d of the expectations above weren't met", failed)
	}
	return nil
}

func listed(violations []simulator.Violation) string {
	var s strings.Builder
	for _, v := range violations {
		fmt.Fprintf(&s, "; %+v", v)
	}
	return s.String()
}
