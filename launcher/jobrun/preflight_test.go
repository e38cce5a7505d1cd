package jobrun

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/onejob-dev/onejob/launcher"
)

func TestPreflight(t *testing.T) {
	t.Setenv("ECS_CONTAINER_METADATA_URI", "")
	t.Setenv("ECS_CONTAINER_METADATA_URI_V4", "")
	for _, tt := range []struct {
		name      string
		options   launcher.Options
		keys, err string
		tags      int
	}{
		{name: "tags", options: launcher.Options{Tags: []string{"a=b"}}, tags: 1},
		{name: "no tags", options: launcher.Options{TagsFromECSMetaData: true}},
		{name: "no tags, which are needed", options: launcher.Options{TagsFromECSMetaData: true, FailOnMissingTags: true}, err: "reading tags: "},
		{name: "no key to verify with", options: launcher.Options{VerificationJWKSFile: "/no/such"}, keys: "verification-jwks-file: "},
		{name: "no key to sign with", options: launcher.Options{SigningJWKSFile: "/no/such", FailOnMissingTags: true}, keys: "signing-jwks-file: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the agent waits between its attempts
				in, err := json.Marshal(tt.options)
				if err != nil {
					t.Fatal(err)
				}
				var out bytes.Buffer
				if err := Preflight(t.Context(), bytes.NewReader(in), &out, func(launcher.Options) *slog.Logger { return slog.New(slog.DiscardHandler) }); err != nil {
					t.Fatal(err)
				}
				var p launcher.Preflight
				if err := json.Unmarshal(out.Bytes(), &p); err != nil {
					t.Fatal(err)
				}
				if !strings.HasPrefix(p.Keys, tt.keys) || (p.Keys == "") != (tt.keys == "") || !strings.HasPrefix(p.Err, tt.err) || (p.Err == "") != (tt.err == "") || len(p.Tags) != tt.tags {
					t.Errorf("got %+v, want keys %q, error %q, %d tags", p, tt.keys, tt.err, tt.tags)
				}
			})
		})
	}
}

// TestNothingToRun: a launcher that got no job closes the pipe, and nothing is said of it.
func TestNothingToRun(t *testing.T) {
	var out bytes.Buffer
	if err := Job(strings.NewReader(""), &out, func(launcher.Options) *slog.Logger { return slog.New(slog.DiscardHandler) }); err != nil || out.Len() > 0 {
		t.Errorf("%v, and reports %q", err, out.String())
	}
}
