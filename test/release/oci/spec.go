package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// spec is what package release asks for.
type spec struct {
	Version  string      `json:"version"`
	Agent    string      `json:"agent"` // version of the stock agent that is in it
	Revision string      `json:"revision"`
	Created  time.Time   `json:"created"` // the commit's: the same commit gives the same bytes on any day
	Source   string      `json:"source"`
	Tags     []string    `json:"tags"`
	Images   []imageSpec `json:"images"`
}

type imageSpec struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// MaxPull is the most bytes that a node may have to pull of it, 0 for no limit.
	MaxPull   int64      `json:"max_pull,omitempty"`
	Platforms []platform `json:"platforms"`
}

// platform is test/cluster/image's Image.
type platform struct {
	Arch   string
	Config v1.Config
	Layers []string
}

func readSpec(path string) (spec, error) {
	var s spec
	b, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// labels of an image, as the OCI image specification names them
// (image-spec/annotations.md), and the one that tells which agent is in it.
func (s spec) labels(i imageSpec) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       i.Name,
		"org.opencontainers.image.description": i.Description,
		"org.opencontainers.image.version":     s.Version,
		"org.opencontainers.image.revision":    s.Revision,
		"org.opencontainers.image.created":     s.Created.UTC().Format(time.RFC3339),
		"org.opencontainers.image.source":      s.Source,
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"dev.onejob.agent.version":             s.Agent,
	}
}
