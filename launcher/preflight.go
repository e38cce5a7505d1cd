package launcher

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// Preflight is what `onejob-run preflight` prints: the agent's tags, or why
// there are none.
type Preflight struct {
	Tags []string
	// Keys says what is wrong with the keys, so that no pod can run a job; Err says why
	// this pod couldn't read the tags.
	Keys, Err string
}

// errKeys is wrapped by errors about the keys.
var errKeys = errors.New("unusable keys")

// tags returns the agent's tags. Tags from a cloud or the host, and keys that must be
// read before a job is taken, need the agent's own code, and so the child. Without them
// this is instant.
func (r *run) tags(ctx context.Context) ([]string, error) {
	o := r.Options
	tags := slices.Clone(o.Tags)
	if o.needsPreflight() {
		r.phases.begin("preflight")
		in, err := json.Marshal(o)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, r.Runner, "preflight")
		cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = jobEnvironment(r.Environ), bytes.NewReader(in), &out, os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("%s preflight: %w", r.Runner, err)
		}
		var p Preflight
		if err := json.Unmarshal(out.Bytes(), &p); err != nil {
			return nil, fmt.Errorf("%s preflight: reading its answer: %w", r.Runner, err)
		}
		if p.Keys != "" {
			return nil, fmt.Errorf("%w: %s", errKeys, p.Keys)
		}
		if p.Err != "" {
			return nil, errors.New(p.Err)
		}
		tags = p.Tags
	}
	if o.Queue != "" {
		tags = append(tags, "queue="+o.Queue)
	}
	return tags, nil
}

func (o *Options) needsPreflight() bool {
	return o.TagsFromHost || o.TagsFromEC2MetaData || len(o.TagsFromEC2MetaDataPaths) > 0 || o.TagsFromEC2Tags ||
		o.TagsFromECSMetaData || o.GCPMetaData() || len(o.TagsFromGCPMetaDataPaths) > 0 || o.TagsFromGCPLabels ||
		o.VerificationJWKSFile != "" || o.SigningJWKSFile != ""
}

// GCPMetaData reads an option that is a list in the agent's flag table and a
// boolean in its configuration.
func (o *Options) GCPMetaData() bool {
	return len(o.TagsFromGCPMetaData) > 0 && !slices.ContainsFunc(o.TagsFromGCPMetaData, func(s string) bool {
		return s == "false" || s == "0"
	})
}

// features are those of the stock agent's features that exist here too.
func (o *Options) features() []string {
	if o.NoFeatureReporting {
		return nil
	}
	features := []string{"acquire-job", "control-plane-otlp-tracing"}
	for _, f := range []struct {
		on   bool
		name string
	}{
		{o.GitMirrorsPath != "", "git-mirrors"},
		{o.TracingBackend == "datadog", "datadog-tracing"},
		{o.TracingBackend == "opentelemetry", "opentelemetry-tracing"},
		{o.TracingPropagateTraceparent, "propagate-traceparent"},
		{o.NoPlugins, "no-plugins"},
		{o.NoCommandEval, "no-script-eval"},
		{o.NoHTTP2, "no-http2"},
		{len(o.AllowedRepositories) > 0, "allowed-repositories"},
		{len(o.AllowedPlugins) > 0, "allowed-plugins"},
		{o.MetricsDatadog, "datadog-metrics"},
	} {
		if f.on {
			features = append(features, f.name)
		}
	}
	working, _ := o.experiments()
	for _, e := range working {
		features = append(features, "experiment-"+e)
	}
	return features
}
