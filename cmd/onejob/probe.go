package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/logging"
	"github.com/onejob-dev/onejob/probe"
	"github.com/onejob-dev/onejob/stacks"
)

func probeCommand() *cli.Command {
	return &cli.Command{
		Name: "probe", Usage: "ask your Buildkite organization what its documents leave open",
		Description: `Prints a pipeline, waits until you have uploaded it, and asks Buildkite questions
with its jobs, for up to ten minutes. None of the jobs runs a command. Writes the
answers as a profile, which onejob-sim plays with --profile. Needs an agent token
and a queue that nothing else uses; it refuses one that others use, and touches no
other job. docs/probe.md has the questions.

   onejob probe --queue probe --token-file token > profile.yaml
   onejob probe --queue probe --token-file token --compare       # exits 3 if Buildkite differs from what onejob assumes
   onejob probe --queue probe --print-pipeline --mark a1b2c3d4   # for a script that uploads it; then --mark a1b2c3d4 again`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "queue", Aliases: []string{"q"}, EnvVars: []string{"ONEJOB_QUEUE"}, Usage: "`KEY` of a self-hosted queue that nothing else uses", Category: categoryBuildkite},
			tokenFileFlag(),
			&cli.StringFlag{Name: "endpoint", EnvVars: []string{contract.EnvEndpoint}, Value: stacks.DefaultEndpoint, Usage: "`URL` of Buildkite's API", Category: categoryBuildkite},
			&cli.BoolFlag{Name: "print-pipeline", Usage: "print the pipeline and do nothing else"},
			&cli.StringFlag{Name: "mark", Usage: "`TEXT` that tells the run's jobs from others; that of a pipeline that was printed before"},
			&cli.DurationFlag{Name: "wait", Value: 10 * time.Minute, Usage: "how `LONG` to wait for the pipeline's jobs"},
			&cli.StringFlag{Name: "waiting-job", Usage: "`JOB_ID` of the step waiting, from its page: settles locked-states and locked-retry-after"},
			&cli.StringFlag{Name: "limited-job", Usage: "`JOB_ID` of the step limited, for the same"},
			&cli.StringFlag{Name: "other-queue", Usage: "`KEY` of another queue, with which one agent registers for a moment: settles acquire-other-queue"},
			&cli.BoolFlag{Name: "default-queue", Usage: "the queue is the cluster's default one, and for the probe alone: the pipeline has a step without a queue, which settles default-queue-rule"},
			&cli.BoolFlag{Name: "ask-pause", Usage: "ask you to pause the queue: settles acquire-paused"},
			&cli.BoolFlag{Name: "spend-stacks", Usage: "register and deregister 31 stacks: settles stack-limit, and may use up all that the organization may have"},
			&cli.BoolFlag{Name: "compare", Usage: "print only what differs from what onejob assumes, and exit 3 if anything does"},
			outputFlag("yaml"),
		},
		Action: runProbe,
	}
}

// errDiffers has an exit code of its own: Buildkite isn't what onejob assumes.
var errDiffers = errors.New("Buildkite differs from what onejob assumes")

var errNothingSettled = errors.New("the probe settled none of the questions: what it saw fits no answer")

func runProbe(c *cli.Context) error {
	o, err := probeOptions(c)
	if err != nil {
		return err
	}
	if c.Bool("print-pipeline") {
		pipeline, err := probe.Pipeline(o)
		if err != nil {
			return usage(err)
		}
		_, err = io.WriteString(c.App.Writer, pipeline)
		return err
	}
	if o.Token == nil {
		return usage(errors.New("no agent token given: set --token-file, or BUILDKITE_AGENT_TOKEN"))
	}
	progress := newProgress(c.App.ErrWriter)
	o.Say = progress.say
	o.Pipeline = func(text string) {
		_, _ = io.WriteString(c.App.ErrWriter, "Upload this pipeline:\n\n"+text+"\n")
	}
	report, err := probe.Run(c.Context, o)
	progress.end()
	return conclude(c, report, err)
}

// conclude prints what was found, if anything was, beside an error too.
func conclude(c *cli.Context, report probe.Report, err error) error {
	nothing := len(report.Unknown()) == len(report.Findings)
	if nothing && err != nil {
		return err
	}
	switch printErr := printReport(c, report); {
	case printErr != nil:
		return errors.Join(err, printErr)
	case nothing:
		return errNothingSettled
	case err == nil && c.Bool("compare") && len(report.Differs) > 0:
		return errDiffers
	}
	return err
}

func probeOptions(c *cli.Context) (probe.Options, error) {
	o := probe.Options{
		Endpoint: c.String("endpoint"), Queue: c.String("queue"), Mark: c.String("mark"), OtherQueue: c.String("other-queue"),
		DefaultQueue: c.Bool("default-queue"),
		AskPaused:    c.Bool("ask-pause"), SpendStacks: c.Bool("spend-stacks"), Wait: c.Duration("wait"), Version: build.String(),
	}
	var err error
	if o.Token, err = givenToken(c); err != nil {
		return o, err
	}
	for flag, to := range map[string]*contract.JobID{"waiting-job": &o.WaitingJob, "limited-job": &o.LimitedJob} {
		if text := c.String(flag); text != "" {
			if *to, err = contract.ParseJobID(text); err != nil {
				return o, usage(fmt.Errorf("--%s: %w", flag, err))
			}
		}
	}
	if o.Queue == "" {
		return o, usage(errors.New("no queue given: make a self-hosted queue for the probe alone, and give its key with --queue"))
	}
	if o.WaitingJob != "" && o.Mark == "" {
		return o, usage(errors.New("--waiting-job and --limited-job belong to a pipeline that was printed before: give its --mark"))
	}
	return o, nil
}

// printReport writes what was found as --output says; with --compare, what differs.
func printReport(c *cli.Context, r probe.Report) error {
	if c.Bool("compare") {
		return print(c, r.Differs, func(w io.Writer, _ bool) { differences(w, r) })
	}
	if c.String("output") == "yaml" { // the profile: a file that onejob-sim reads
		_, err := c.App.Writer.Write(r.YAML())
		return err
	}
	return print(c, r, func(w io.Writer, _ bool) {
		row(w, "QUESTION", "ANSWER", "SEEN")
		for _, f := range r.Findings {
			answer := f.Answer
			if answer == "" {
				answer = "unknown"
			}
			row(w, f.Name, answer, f.Seen)
		}
		for _, f := range r.Noted {
			row(w, f.Name, "-", f.Seen)
		}
	})
}

func differences(w io.Writer, r probe.Report) {
	row(w, "QUESTION", "ANSWER", "ONEJOB ASSUMES")
	for _, d := range r.Differs {
		row(w, d.Name, d.Answer, d.Shipped)
	}
	for _, f := range r.Unknown() {
		row(w, f.Name, "unknown", f.Seen)
	}
}

// progress are the lines for who waits: on a terminal, each with the time that has gone
// by and a last line that shows that the probe is at work; elsewhere plain ones.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	began    time.Time
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && logging.Terminal(f), began: time.Now()}
}

const clearLine = "\r\x1b[K"

func (p *progress) say(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line = contract.Line(line, maxCell)
	if !p.terminal {
		_, _ = fmt.Fprintln(p.w, line)
		return
	}
	took := time.Since(p.began).Round(time.Second)
	_, _ = fmt.Fprintf(p.w, "%s%6s  %s\n%6s  … Ctrl-C ends it, and cleans up", clearLine, took, line, took)
}

func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		_, _ = io.WriteString(p.w, clearLine)
	}
}
