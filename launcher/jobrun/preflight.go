package jobrun

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"

	"github.com/buildkite/agent/v3/agent"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/launcher"
)

// Preflight reads Options from in, does what must be done with the agent's own
// code before a job is taken (reading tags of clouds and the host, checking
// keys), and writes a launcher.Preflight to out.
func Preflight(ctx context.Context, in io.Reader, out io.Writer, newLog func(launcher.Options) *slog.Logger) error {
	var o launcher.Options
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("reading the options: %w", err)
	}
	var p launcher.Preflight
	if err := checkKeys(o); err != nil {
		p.Keys = err.Error()
	} else if p.Tags, err = tags(ctx, o, newLog(o)); err != nil {
		p.Err = err.Error()
	}
	return json.NewEncoder(out).Encode(p)
}

func checkKeys(o launcher.Options) error {
	if _, err := verificationKeys(o); err != nil {
		return err
	}
	if o.SigningJWKSFile == "" {
		return nil
	}
	_, err := keySet("signing-jwks-file", o.SigningJWKSFile)
	return err
}

func tags(ctx context.Context, o launcher.Options, log *slog.Logger) ([]string, error) {
	tags, err := agent.FetchTags(ctx, acquire.Logger(log), agent.FetchTagsConfig{
		Tags:                      o.Tags,
		TagsFromHost:              o.TagsFromHost,
		TagsFromEC2MetaData:       o.TagsFromEC2MetaData,
		TagsFromEC2MetaDataPaths:  o.TagsFromEC2MetaDataPaths,
		TagsFromEC2Tags:           o.TagsFromEC2Tags,
		TagsFromECSMetaData:       o.TagsFromECSMetaData,
		TagsFromGCPMetaData:       o.GCPMetaData(),
		TagsFromGCPMetaDataPaths:  o.TagsFromGCPMetaDataPaths,
		TagsFromGCPLabels:         o.TagsFromGCPLabels,
		FailOnMissingTags:         o.FailOnMissingTags,
		WaitForEC2TagsTimeout:     o.WaitForEC2TagsTimeout,
		WaitForEC2MetaDataTimeout: o.WaitForEC2MetaDataTimeout,
		WaitForECSMetaDataTimeout: o.WaitForECSMetaDataTimeout,
		WaitForGCPLabelsTimeout:   o.WaitForGCPLabelsTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("reading tags: %w", err)
	}
	return tags, nil
}
