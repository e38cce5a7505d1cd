package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	spdxjson "github.com/spdx/tools-golang/json"
)

const dpkg = `Package: git
Status: install ok installed
Architecture: arm64
Version: 1:2.39.5-0+deb12u2
Description: fast
 Package: not-a-field

Package: gone
Status: deinstall ok config-files
Architecture: arm64
Version: 1
`

// a spec of an image with a list of Debian's packages and a Go program: this test.
func aSpec(t *testing.T) spec {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	base := aLayer(t, map[string]string{dpkgStatus: dpkg, "usr/bin/git": "#!"})
	programs := aLayer(t, map[string]string{"usr/local/bin/onejob": string(program), "usr/local/bin/script": "#!/bin/sh"})
	s := spec{
		Version: "v1.2.3", Agent: "v3.138.1", Revision: "abc", Created: time.Unix(1_800_000_000, 0), Source: "https://github.com/onejob-dev/onejob",
		Tags: []string{"v1.2.3", "v1.2.3-agent3"},
	}
	config := v1.Config{User: "1000:1000", Entrypoint: []string{"/x"}}
	s.Images = []imageSpec{
		{Name: "onejob", Description: "of a test", MaxPull: 40e6, Platforms: []platform{{Arch: "amd64", Config: config, Layers: []string{base}}, {Arch: "arm64", Config: config, Layers: []string{base, programs}}}},
		{Name: "onejob-agent", Platforms: []platform{{Arch: "amd64", Config: config, Layers: []string{base}}, {Arch: "arm64", Config: config, Layers: []string{base}}}},
	}
	return s
}

func aLayer(t *testing.T, files map[string]string) string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "layer-")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for _, name := range []string{dpkgStatus, "usr/bin/git", "usr/local/bin/onejob", "usr/local/bin/script"} {
		if text, ok := files[name]; ok {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// packs the spec and returns what was packed, and where.
func packs(t *testing.T, s spec) ([]packed, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "spec.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"images", "--spec", path, "--out", dir}); err != nil {
		t.Fatal(err)
	}
	if b, err = os.ReadFile(filepath.Join(dir, report)); err != nil {
		t.Fatal(err)
	}
	var all []packed
	if err := json.Unmarshal(b, &all); err != nil {
		t.Fatal(err)
	}
	return all, dir
}

// The same gives the same digests, whenever and wherever; another revision, others.
func TestReproducible(t *testing.T) {
	s := aSpec(t)
	one, _ := packs(t, s)
	two, _ := packs(t, s)
	s.Revision = "def"
	three, _ := packs(t, s)
	for i := range one {
		if one[i].Digest != two[i].Digest || one[i].Platforms[1] != two[i].Platforms[1] {
			t.Errorf("%s: %+v, then %+v", one[i].Name, one[i], two[i])
		}
		if one[i].Digest == three[i].Digest {
			t.Errorf("%s: two revisions have one digest", one[i].Name)
		}
	}
}

func TestLabels(t *testing.T) {
	all, dir := packs(t, aSpec(t))
	if len(all) != 2 || len(all[0].Platforms) != 2 || !slices.Equal(all[1].Tags, []string{"v1.2.3", "v1.2.3-agent3"}) {
		t.Fatalf("packed %+v", all)
	}
	from, err := layout.FromPath(filepath.Join(dir, "onejob"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := from.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	index, err := root.ImageIndex(all[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	img, err := index.Image(all[0].Platforms[1].Digest)
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Architecture != "arm64" || config.OS != "linux" || config.Config.User != "1000:1000" || len(config.Config.Entrypoint) != 1 {
		t.Errorf("configuration: %+v", config)
	}
	for label, want := range map[string]string{"version": "v1.2.3", "revision": "abc", "created": "2027-01-15T08:00:00Z", "title": "onejob"} {
		if got := config.Config.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	if got := config.Config.Labels["dev.onejob.agent.version"]; got != "v3.138.1" {
		t.Errorf("the agent is %q", got)
	}
}

// An SBOM can be read by SPDX's own library, and has Debian's packages and Go's modules.
func TestSBOM(t *testing.T) {
	_, dir := packs(t, aSpec(t))
	f, err := os.Open(filepath.Join(dir, "onejob-arm64.spdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := spdxjson.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	has := map[string]string{}
	for _, p := range doc.Packages {
		has[p.PackageName] = p.PackageVersion
		if len(p.PackageExternalReferences) != 1 || !strings.HasPrefix(p.PackageExternalReferences[0].Locator, "pkg:") {
			t.Errorf("%s has no purl", p.PackageName)
		}
	}
	if has["git"] != "1:2.39.5-0+deb12u2" || has["stdlib"] == "" || has["onejob"] != "v1.2.3" {
		t.Errorf("packages: %v", has)
	}
	for _, not := range []string{"gone", "not-a-field", "script"} {
		if _, ok := has[not]; ok {
			t.Errorf("it has %s", not)
		}
	}
	if len(doc.Relationships) < len(doc.Packages) {
		t.Errorf("%d relationships of %d packages", len(doc.Relationships), len(doc.Packages))
	}
}

// What is pushed is looked at as it has arrived, while the registry of the dry run is there.
func TestDryRun(t *testing.T) {
	_, dir := packs(t, aSpec(t))
	mark := filepath.Join(dir, "to")
	if err := run(t.Context(), []string{"push", "--dry-run", "--from", dir, "--", "/bin/sh", "-c", "echo {} > " + mark}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(mark); err != nil || !strings.HasPrefix(string(b), "127.0.0.1:") {
		t.Errorf("the command was told %q, %v", b, err)
	}
	if err := run(context.Background(), []string{"push", "--dry-run", "--to", "x", "--from", dir}); err == nil {
		t.Error("a dry run goes somewhere")
	}
}

func TestTooBig(t *testing.T) {
	s := aSpec(t)
	s.Images[0].MaxPull = 100
	if _, err := s.pack(s.Images[0], t.TempDir()); err == nil || !strings.Contains(err.Error(), "may have 100") {
		t.Errorf("got %v", err)
	}
}
