package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/gobuild"
	"github.com/onejob-dev/onejob/test/repo"
)

// MaxScheduler is the most bytes that a node may have to pull of the scheduler's image.
const MaxScheduler = 40_000_000

// Options say what is built.
type Options struct {
	Version   string
	Platforms []string // architectures
	Out       string   // folder
	// StandIns is image.Options.StandIns, for tests.
	StandIns map[string]string
}

// Image is one that was packed, as test/release/oci reports it.
type Image struct {
	Name      string   `json:"name"`
	Digest    string   `json:"digest"`
	Tags      []string `json:"tags"`
	Platforms []struct {
		Platform string `json:"platform"`
		Digest   string `json:"digest"`
		Pull     int64  `json:"pull_bytes"`     // compressed, as nodes pull it
		Unpacked int64  `json:"unpacked_bytes"` // on a node's disk
		SBOM     string `json:"sbom_digest"`
		Packages int    `json:"sbom_packages"`
	} `json:"platforms"`
}

// Images builds both images into Out/images.
func Images(ctx context.Context, o Options) ([]Image, error) {
	s, err := specOf(ctx, o)
	if err != nil {
		return nil, err
	}
	for n, target := range []string{"scheduler", "agent"} {
		for _, arch := range o.Platforms {
			built, err := image.Layers(ctx, target, image.Options{Version: o.Version, Arch: arch, StandIns: o.StandIns})
			if err != nil {
				return nil, fmt.Errorf("%s for %s: %w", target, arch, err)
			}
			s.Images[n].Platforms = append(s.Images[n].Platforms, built)
		}
	}
	out := filepath.Join(o.Out, "images")
	if err := os.MkdirAll(out, 0o755); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, err
	}
	asked, err := os.CreateTemp("", "onejob-release-*.json") // two may be asked for at a time
	if err != nil {
		return nil, err
	}
	defer os.Remove(asked.Name())
	_, err = asked.Write(b)
	if err := errors.Join(err, asked.Close()); err != nil {
		return nil, err
	}
	if err := oci(ctx, "images", "--spec", asked.Name(), "--out", out); err != nil {
		return nil, err
	}
	if b, err = os.ReadFile(filepath.Join(out, "images.json")); err != nil {
		return nil, err
	}
	var all []Image
	return all, json.Unmarshal(b, &all)
}

// spec is what test/release/oci is asked for.
type spec struct {
	Version  string      `json:"version"`
	Agent    string      `json:"agent"`
	Revision string      `json:"revision"`
	Created  time.Time   `json:"created"`
	Source   string      `json:"source"`
	Tags     []string    `json:"tags"`
	Images   []imageSpec `json:"images"`
}

type imageSpec struct {
	Name        string        `json:"name"`
	Description string        `json:"description"`
	MaxPull     int64         `json:"max_pull,omitempty"`
	Platforms   []image.Image `json:"platforms"`
}

func specOf(ctx context.Context, o Options) (spec, error) {
	s := spec{
		Version: o.Version, Source: "https://github.com/onejob-dev/onejob",
		Images: []imageSpec{
			{Name: "onejob", Description: "onejob's scheduler and commands: Buildkite's jobs on Kubernetes", MaxPull: MaxScheduler},
			{Name: "onejob-agent", Description: "onejob's runner: PID 1 of a Buildkite job's pod"},
		},
	}
	var err error
	if s.Agent, err = output(ctx, "go", "list", "-m", "-f", "{{.Version}}", "github.com/buildkite/agent/v3"); err != nil {
		return s, err
	}
	s.Tags = Tags(o.Version, s.Agent)
	if s.Revision, err = output(ctx, "git", "rev-parse", "HEAD"); err != nil {
		return s, err
	}
	at, err := output(ctx, "git", "show", "-s", "--format=%cI", "HEAD")
	if err != nil {
		return s, err
	}
	s.Created, err = time.Parse(time.RFC3339, at)
	return s, err
}

// Tags are those of both images: the version, and the version with the major of the agent
// in it, so that images with two majors can be offered beside each other.
func Tags(version, agent string) []string {
	return []string{version, version + "-agent" + strings.TrimPrefix(semver.Major(agent), "v")}
}

// oci runs test/release/oci.
func oci(ctx context.Context, args ...string) error {
	root, err := repo.Root()
	if err != nil {
		return err
	}
	cache, err := repo.Cache("release")
	if err != nil {
		return err
	}
	unlock, err := repo.Lock(filepath.Join(cache, "lock"))
	if err != nil {
		return err
	}
	program := filepath.Join(cache, "oci")
	err = gobuild.Program(ctx, filepath.Join(root, "test", "release", "oci"), program, ".")
	unlock()
	if err != nil {
		return err
	}
	_, err = output(ctx, program, args...)
	return err
}
