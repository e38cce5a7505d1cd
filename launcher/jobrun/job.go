package jobrun

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/buildkite/agent/v3/agent"
	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/agent/v3/metrics"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/launcher"
)

// Job reads a Handover and then Controls from in, runs the job, and writes
// Reports to out, the last of them Final. It returns an error only if there is
// nothing to report: the Handover can't be read. A launcher that closes in instead has no
// job to run.
func Job(in io.Reader, out io.Writer, newLog func(launcher.Options) *slog.Logger) error {
	lines := bufio.NewReaderSize(in, 64<<10)
	var h launcher.Handover
	line, err := lines.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(line, &h)
	}
	if err != nil {
		return fmt.Errorf("reading what to run: %w", err)
	}
	log := newLog(h.Options).With("job_id", h.JobID)
	s := newState(out)
	if err := run(h, s, lines, log); err != nil {
		s.update(func(r *launcher.Report) { r.Err = err.Error() })
	}
	s.update(func(r *launcher.Report) { r.Final = true })
	return nil
}

// run runs the job. An error means that the job was not run by JobRunner, and
// that nothing was finished.
func run(h launcher.Handover, s *state, controls *bufio.Reader, log *slog.Logger) error {
	var job api.Job
	if err := json.Unmarshal(h.Job, &job); err != nil {
		return fmt.Errorf("reading the job: %w", err)
	}
	bound(&job)
	conf, err := configuration(h)
	if err != nil {
		return err
	}
	alog := acquire.Logger(log)
	agent.ApplyControlPlaneTracing(alog, &conf, h.Tracing, agent.LocalTracingConfig{
		PropagateTraceparentSet: h.LocalTraceparent,
		OTLPDestinationSet:      agent.HasLocalOTLPDestination(),
	})
	if conf.VerificationJWKS, err = verificationKeys(h.Options); err != nil {
		return err
	}

	rnd := acquire.NewRand(uint64(time.Now().UnixNano())) //nolint:gosec // jitter
	t := &transport{state: s, rnd: rnd, log: log, job: &job, hold: h.Hold, builds: h.Options.BuildPath}
	t.startBy = time.Now().Add(time.Until(h.StartBy)) // it came by the wall clock
	token := job.Token
	if token == "" {
		token = h.Token
	}
	t.base = acquire.Authorized(acquire.NewTransport(!h.Options.NoHTTP2), token)
	client := api.NewClient(alog, api.Config{
		Endpoint: h.Endpoint, Token: token, UserAgent: h.UserAgent, DisableHTTP2: h.Options.NoHTTP2,
		DebugHTTP: h.Options.DebugHTTP, HTTPClient: acquire.HTTPClient(t),
	}).FromAgentRegisterResponse(&api.AgentRegisterResponse{AccessToken: token, RequestHeaders: h.Headers})
	t.client = client

	collector := metrics.NewCollector(alog, metrics.CollectorConfig{
		Datadog: h.Options.MetricsDatadog, DatadogHost: h.Options.MetricsDatadogHost,
		DatadogDistributions: h.Options.MetricsDatadogDistributions,
	})
	if err := collector.Start(); err != nil {
		return err
	}
	defer collector.Stop() //nolint:errcheck // metrics only

	progress := newProgress(alog, h.Options.NoANSITimestamps, func() {
		s.update(func(r *launcher.Report) { r.Ran = true })
	})
	runner, err := agent.NewJobRunner(context.Background(), progress, client, runnerConfig(h, conf, &job, collector))
	if err != nil {
		return fmt.Errorf("preparing the job's runner: %w", err)
	}

	ctx, over := context.WithCancel(context.Background())
	defer over()
	c := canceller{runner: runner, jobID: job.ID, begun: progress.begun, over: ctx, log: log}
	go obey(controls, s, c, h.Budget)
	err = runner.Run(context.Background(), nil)
	if report := s.snapshot(); !report.Finish.Sent && err != nil {
		return err
	}
	return nil
}

// runnerConfig is what the agent's worker makes of conf for one job.
func runnerConfig(h launcher.Handover, conf agent.AgentConfiguration, job *api.Job, collector *metrics.Collector) agent.JobRunnerConfig {
	r := agent.JobRunnerConfig{
		AgentConfiguration: conf,
		JobStatusInterval:  h.JobStatusInterval,
		JWKS:               conf.VerificationJWKS,
		MetricsScope: collector.Scope(metrics.Tags{
			"pipeline": job.Env["BUILDKITE_PIPELINE_SLUG"],
			"org":      job.Env["BUILDKITE_ORGANIZATION_SLUG"],
			"branch":   job.Env["BUILDKITE_BRANCH"],
			"source":   job.Env["BUILDKITE_SOURCE"],
			"queue":    job.Env["BUILDKITE_AGENT_META_DATA_QUEUE"],
		}),
		Job:           job,
		Debug:         h.Options.Debug,
		DebugHTTP:     h.Options.DebugHTTP,
		JobContextDir: conf.JobContextDir,
		AgentStdout:   os.Stdout,
	}
	// The signal's type is internal to the agent: only a constant converts.
	for range launcher.CancelSignals[h.Options.CancelSignal] {
		r.CancelSignal++
	}
	return r
}

// obey reads controls until the launcher closes the pipe. That means that the launcher
// died: nobody sends heartbeats any more, and the job must end.
func obey(controls *bufio.Reader, s *state, c canceller, budget launcher.Budget) {
	var once, early sync.Once
	for {
		var control launcher.Control
		line, err := controls.ReadBytes('\n')
		if err == nil {
			err = json.Unmarshal(line, &control)
		}
		if c.over.Err() != nil {
			return
		}
		if err != nil {
			control = launcher.Control{Why: "the launcher died"}
			c.log.Error("the launcher is gone: canceling the job")
		}
		s.stop(control.ReportBy, budget)
		if control.Force {
			go c.force()
		} else {
			once.Do(func() { go c.cancel() })
		}
		if !control.ReportBy.IsZero() && budget.KillsEarly() {
			early.Do(func() { go c.forceAt(control.ReportBy.Add(budget.KillBy() - budget.ReportBy())) })
		}
		if err != nil {
			return
		}
	}
}

// bound limits the sizes and intervals that the server sent to what the agent can bear.
// Zero chunks would leave the job unfinished, and an interval that overflows would
// panic. Chunks of a few bytes would mean ten million requests for a log of 10 MB;
// chunks of 1 KiB mean ten thousand, and no server wants less.
func bound(job *api.Job) {
	if job.ChunksMaxSizeBytes == 0 {
		job.ChunksMaxSizeBytes = 100 << 10
	}
	job.ChunksMaxSizeBytes = min(max(job.ChunksMaxSizeBytes, 1<<10), 64<<20)
	job.LogMaxSizeBytes = min(job.LogMaxSizeBytes, 1<<40)
	job.ChunksIntervalSeconds = min(max(job.ChunksIntervalSeconds, 0), 60)
}
