package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// verdict compares what happened with what the pipeline should show.
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
	ran := count(started)
	passed := count(func(j simulator.Job) bool { return started(j) && j.Passed })
	complete := count(func(j simulator.Job) bool { return j.LogComplete && j.LogBytes > 0 })
	greeted := count(func(j simulator.Job) bool {
		log, _ := sim.Log(j.ID)
		return j.Label == "lint" && bytes.Contains(log, []byte("the plugin says: good day"))
	})
	violations := append(sim.Violations(), sim.CheckSettled()...)
	v.check(ran == 12 && passed == 10, "%d jobs ran, %d passed, a checkout of a git repository in each", ran, passed)
	v.check(count(func(j simulator.Job) bool { return j.State == simulator.StateBroken }) == len(jobs)-ran, "one step was left out by its condition")
	v.check(greeted == 1, "a plugin was cloned in the version that its step names, and greeted")
	v.check(overlaps(jobs) == 0, "the jobs of the concurrency group ran one at a time")
	v.check(count(func(j simulator.Job) bool { return j.ExitStatus == "7" && j.RetriedBy != "" }) == 1, "the flaky one failed with 7 and was retried by Buildkite")
	v.check(count(func(j simulator.Job) bool { return j.State == simulator.StateCanceled && j.SignalReason == "cancel" }) == 1, "the endless one was canceled from the page")
	v.check(b.MetaData["who"] == "the demo", "the block step was unblocked with what it asks: %q says so", b.MetaData["who"])
	v.check(len(sim.Artifacts(number)) == 3, "%d artifacts were uploaded, and downloaded by the tests", len(sim.Artifacts(number)))
	v.check(len(b.Annotations) == 1, "%d annotation, made from meta-data", len(b.Annotations))
	v.check(complete == ran, "%d of %d logs are complete to the byte", complete, ran)
	v.check(b.State == simulator.BuildFailed, "the build %s, as it must with a job canceled", b.State)
	v.check(len(violations) == 0, "the ledger has no violation%s", listed(violations))
}

func started(j simulator.Job) bool { return !j.StartedAt.IsZero() }

// overlaps counts the pairs of the concurrency group that had an agent at once.
func overlaps(jobs []simulator.Job) int {
	n := 0
	for i, a := range jobs {
		for _, b := range jobs[i+1:] {
			if grouped(a) && grouped(b) && a.AcquiredAt.Before(b.FinishedAt) && b.AcquiredAt.Before(a.FinishedAt) {
				n++
			}
		}
	}
	return n
}

func grouped(j simulator.Job) bool { return j.Label == "flaky" || j.Label == "uploaded by a job" }

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
	v.check(honest == 12, "%d exit codes and termination messages agree with Buildkite", honest)
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
