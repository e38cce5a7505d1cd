package jobrun

import (
	"log/slog"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/api"
	"github.com/buildkite/agent/v3/metrics"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/launcher"
)

func TestRunnerConfig(t *testing.T) {
	h := launcher.Handover{
		JobID:             job,
		JobStatusInterval: 7 * time.Second,
		Options:           launcher.Options{JobContextDir: "/job", CancelSignal: "SIGINT", CheckoutOverrideMode: "from-job", Debug: true},
		Budget:            launcher.Budget{Cancel: 10 * time.Second, Signal: 4 * time.Second},
	}
	conf, err := configuration(h)
	if err != nil {
		t.Fatal(err)
	}
	collector := metrics.NewCollector(acquire.Logger(slog.New(slog.DiscardHandler)), metrics.CollectorConfig{})
	j := &api.Job{ID: job, Env: map[string]string{
		"BUILDKITE_PIPELINE_SLUG": "p", "BUILDKITE_ORGANIZATION_SLUG": "o", "BUILDKITE_BRANCH": "b",
		"BUILDKITE_SOURCE": "s", "BUILDKITE_AGENT_META_DATA_QUEUE": "q",
	}}
	got := runnerConfig(h, conf, j, collector)
	// JobRunner reads the folder from here, not from the agent's configuration.
	if got.JobContextDir != "/job" {
		t.Errorf("JobContextDir = %q, want /job", got.JobContextDir)
	}
	if got.CancelSignal.String() != "SIGINT" || got.JobStatusInterval != 7*time.Second || !got.Debug || got.Job != j {
		t.Errorf("got %+v", got)
	}
	for tag, want := range map[string]string{"pipeline": "p", "org": "o", "branch": "b", "source": "s", "queue": "q"} {
		if got := got.MetricsScope.Tags[tag]; got != want {
			t.Errorf("the metrics' tag %s = %q, want %q", tag, got, want)
		}
	}
	if c := got.AgentConfiguration; c.AcquireJob != job || c.CancelGracePeriod != 10 || c.SignalGracePeriod != 4*time.Second {
		t.Errorf("the agent's configuration is %+v", c)
	}
}
