package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// run serves until ctx ends, then sums up.
func run(ctx context.Context, o options, out io.Writer) error {
	if err := o.validate(); err != nil {
		return err
	}
	level := slog.LevelInfo
	if o.verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
	conf, err := o.config()
	if err != nil {
		return err
	}
	conf.Logger = log
	sim := simulator.New(conf)
	defer sim.Close()
	for _, path := range o.pipelines {
		if err := o.createBuild(sim, path, log); err != nil {
			return err
		}
	}

	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	base := "http://" + listener.Addr().String()
	server := &http.Server{Handler: sim, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	if err := announce(o.readyFile, base); err != nil {
		return errors.Join(err, server.Close())
	}
	log.Info("serving", "page", base+"/", "endpoint", base+"/v3", "profile", conf.Profile.String())

	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	// Close first: it lets go of the requests that faults hold.
	sim.Close()
	shut, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(shut); err != nil {
		_ = server.Close()
	}
	return summarize(sim, out)
}

// config reads what the options name.
func (o *options) config() (simulator.Config, error) {
	token, err := o.agentToken()
	if err != nil {
		return simulator.Config{}, err
	}
	secrets, err := o.allSecrets()
	if err != nil {
		return simulator.Config{}, err
	}
	profile, err := o.play()
	if err != nil {
		return simulator.Config{}, err
	}
	downstream, err := o.readDownstream()
	return simulator.Config{
		Profile:    profile,
		AgentToken: token, Queues: o.queues, Seed: o.seed,
		PingInterval: o.interval, HeartbeatInterval: o.interval, JobStatusInterval: o.interval,
		HeartbeatTimeout: o.heartbeatTimeout, ReservationDefault: o.reservation,
		RateLimits: simulator.RateLimits{Disabled: o.noLimits},
		Secrets:    secrets, Downstream: downstream,
		Build: simulator.BuildRequest{Slug: o.slug, Repo: o.repo, Branch: o.branch, Commit: o.commit, Queue: o.queue, Env: o.env},
	}, err
}

func (o *options) createBuild(sim *simulator.Simulator, path string, log *slog.Logger) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading the pipeline: %w", err)
	}
	changed, err := readLines(o.changedFiles)
	if err != nil {
		return fmt.Errorf("reading the changed files: %w", err)
	}
	b, err := sim.CreateBuild(simulator.BuildRequest{
		Pipeline: source, Slug: o.slug, Repo: o.repo, Branch: o.branch, Commit: o.commit, Queue: o.queue,
		Message: filepath.Base(path), Env: o.env, ChangedFiles: changed, Interpolate: o.environ(),
	})
	if err != nil {
		return fmt.Errorf("creating a build from %s: %w", path, err)
	}
	log.Info("build created", "build", b.Number, "jobs", len(b.JobIDs))
	return nil
}

// environ is what pipelines are interpolated with, besides what Buildkite sets:
// our own environment without our own settings. It is nil for none.
func (o *options) environ() map[string]string {
	if o.noInterpolation {
		return nil
	}
	environ := map[string]string{}
	for _, pair := range os.Environ() {
		if name, value, _ := strings.Cut(pair, "="); !strings.HasPrefix(name, "ONEJOB_SIM_") {
			environ[name] = value
		}
	}
	return environ
}

func (o *options) readDownstream() (map[string][]byte, error) {
	out := map[string][]byte{}
	for slug, path := range o.downstream {
		source, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the downstream pipeline: %w", err)
		}
		out[slug] = source
	}
	return out, nil
}

// announce writes the base URL in one step, so that a reader sees all or nothing.
func announce(path, base string) error {
	if path == "" {
		return nil
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(base+"\n"), 0o644); err != nil {
		return fmt.Errorf("writing the ready file: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("writing the ready file: %w", err)
	}
	return nil
}

// summarize prints how builds and jobs stand and what should not have happened.
func summarize(sim *simulator.Simulator, out io.Writer) error {
	fmt.Fprintln(out)
	for _, b := range sim.Builds() {
		fmt.Fprintf(out, "build %d  %-10s %s, %d jobs\n", b.Number, b.State, contract.Line(b.Slug, contract.MaxName), len(b.JobIDs))
	}
	counts := sim.JobsIn()
	var states []string
	for _, state := range slices.Sorted(maps.Keys(counts)) {
		states = append(states, fmt.Sprintf("%d %s", counts[state], state))
	}
	fmt.Fprintf(out, "jobs       %s\n", strings.Join(states, ", "))
	all, provoked := sim.Repeats()
	fmt.Fprintf(out, "repeats    %d, %d of them after a reply that was withheld\n", all, provoked)
	violations := sim.Violations()
	fmt.Fprintf(out, "violations %d\n", len(violations))
	for _, v := range violations {
		fmt.Fprintf(out, "  %s\n", contract.Line(fmt.Sprint(v), contract.MaxSentence)) // it may have a client's words
	}
	if len(violations) > 0 {
		return errViolations
	}
	return nil
}
