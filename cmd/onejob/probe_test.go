package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/probe"
	"github.com/onejob-dev/onejob/simulator"
)

// What is wrong is told before Buildkite is asked; a pipeline is printed without it.
func TestProbeMistakes(t *testing.T) {
	t.Setenv("BUILDKITE_AGENT_TOKEN", "")
	for args, want := range map[string]string{
		"probe":                          "give its key with --queue",
		"probe -q probe":                 "no agent token given: set --token-file, or BUILDKITE_AGENT_TOKEN",
		"probe -q probe --waiting-job x": "--waiting-job: ",
		"probe -q probe --waiting-job " + nobodys:                          "give its --mark",
		"probe -q probe --print-pipeline":                                  "no mark given: choose one",
		"probe -q probe --print-pipeline --mark ../..":                     `the mark "../.." must be`,
		"probe -q probe --output xml":                                      "it must be table, wide, json or yaml",
		"probe -q probe --tokenfile x":                                     `Did you mean "--token-file"?`,
		"probe -q probe --endpoint ftp://x --print-pipeline --mark abc123": "endpoint: ",
	} {
		t.Run(args, func(t *testing.T) { run(t, strings.Fields(args)...).wants(t, 2, want) })
	}
	r := run(t, "probe", "-q", "probe", "--print-pipeline", "--mark", "abc123")
	r.wants(t, 0, "key: onejob-probe-abc123-life", `agents: ["queue=probe", "onejob-probe=abc123"]`)
	if strings.Contains(r.out, "no-queue") {
		t.Error("a step without a queue is in the pipeline of a queue that may not be the default one")
	}
	run(t, "probe", "-q", "probe", "--print-pipeline", "--mark", "abc123", "--default-queue").wants(t, 0, "no-queue")
}

// A run that comes to no question, over a wire: the queue is somebody's, nobody uploads
// the pipeline, a signal.
func TestProbeThatIsNotAsked(t *testing.T) {
	sim := simulator.New(simulator.Config{Queues: []string{"probe", "used"}})
	t.Cleanup(sim.Close)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	t.Setenv("BUILDKITE_AGENT_TOKEN", simulator.DefaultAgentToken)
	if _, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, agents: {queue: used}}]")}); err != nil {
		t.Fatal(err)
	}
	args := func(queue string) []string {
		return []string{"probe", "--queue", queue, "--endpoint", server.URL + "/v3", "--wait", "1s"}
	}
	used := run(t, args("used")...)
	used.wants(t, 1, "others use the queue, too: it has 1 jobs")
	run(t, args("none")...).wants(t, 1, "there is no self-hosted queue none")
	r := run(t, args("probe")...)
	r.wants(t, 1, "Upload this pipeline", "none of the pipeline's jobs was listed within 1s")
	if len(used.out)+len(r.out) > 0 {
		t.Errorf("on standard output is %q", used.out+r.out)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(time.Second, func() { cancel(errors.New("received terminated")) })
	began := time.Now()
	runContext(ctx, append(args("probe"), "--wait", "1h")...).wants(t, 1, "received terminated")
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it ended %s after it was stopped", took)
	}
	for _, s := range sim.Stacks() {
		if s.State == "connected" {
			t.Errorf("the stack %s is left", s.Key)
		}
	}
}

// What differs has an exit code of its own, and a line; what isn't known is no difference.
func TestProbeCompares(t *testing.T) {
	found := probe.Report{Findings: []probe.Finding{
		{Name: "job-list", Answer: "late", Seen: "3 of 3"}, {Name: "start-again", Answer: "taken", Seen: "200"}, {Name: "lost-agent", Seen: "no answer"},
	}}
	for _, tt := range []struct {
		name    string
		differs []probe.Difference
		format  string
		err     error
		code    int
		want    string
	}{
		{"the same", nil, "table", nil, 0, "lost-agent  unknown  no answer\n"},
		{"another", []probe.Difference{{Name: "job-list", Answer: "late", Shipped: "current"}}, "table", nil, 3, "job-list    late     current\n"},
		{"json", []probe.Difference{{Name: "job-list", Answer: "late", Shipped: "current"}}, "json", nil, 3, `"shipped": "current"`},
		{"stopped", []probe.Difference{{Name: "job-list", Answer: "late", Shipped: "current"}}, "table", errors.New("received terminated"), 1, "job-list"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			app, set := newApp(), flag.NewFlagSet("probe", flag.ContinueOnError)
			app.Writer = &out
			set.Bool("compare", true, "")
			set.String("output", tt.format, "")
			r := found
			r.Differs = tt.differs
			if code := exitCode(new(bytes.Buffer), conclude(cli.NewContext(app, set, nil), r, tt.err)); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("it prints\n%s\nwant %q", out.String(), tt.want)
			}
		})
	}
}

// A run that settles nothing has found no agreement: it fails, and shows what was seen.
func TestProbeThatSettlesNothing(t *testing.T) {
	var out, errOut bytes.Buffer
	app, set := newApp(), flag.NewFlagSet("probe", flag.ContinueOnError)
	app.Writer = &out
	set.Bool("compare", true, "")
	set.String("output", "table", "")
	r := probe.Report{Findings: []probe.Finding{{Name: "job-list", Seen: "no answer"}}}
	if code := exitCode(&errOut, conclude(cli.NewContext(app, set, nil), r, nil)); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(out.String(), "job-list") || !strings.Contains(errOut.String(), "none of the questions") {
		t.Errorf("it prints\n%s%s", out.String(), errOut.String())
	}
}

// On a terminal a line that is replaced shows that the probe is at work; elsewhere the
// lines are plain.
func TestProgress(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		var out bytes.Buffer
		p := newProgress(&out)
		p.terminal = terminal
		p.say("job-list: late (3 of 3)\x1b[31m")
		p.end()
		if got := out.String(); strings.Contains(got, "\x1b[K") != terminal || strings.Contains(got, "\x1b[31m") || !strings.Contains(got, "job-list: late (3 of 3)") {
			t.Errorf("on a terminal %t: %q", terminal, got)
		}
	}
}
