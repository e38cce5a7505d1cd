package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/test/repo"
)

// standIns for the commands of this repository: these tests are about images.
var standIns = Options{StandIns: map[string]string{
	"./cmd/onejob":                  "./test/cluster/image/stub",
	"./cmd/onejob-run":              "./test/cluster/image/stub",
	"./cmd/onejob-agent":            "./test/cluster/image/stub",
	"github.com/buildkite/agent/v3": "./test/cluster/image/stub",
}}

// The Dockerfile's words, as docker build would take them: what a rule of the
// house or a caller relies on. The tests' images follow from the same words.
func TestDockerfile(t *testing.T) {
	b, err := newBuilder(Options{})
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]stage{}
	for _, s := range b.stages {
		stages[s.name] = s
	}
	args := func(stage, name string) (all []string) {
		for _, i := range stages[stage].instructions {
			if i.name == name {
				all = append(all, i.args)
			}
		}
		return all
	}

	// Go's version is go.mod's: a newer one there wouldn't build in the image.
	root, err := repo.Root()
	if err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (.*)$`).FindStringSubmatch(string(gomod))[1]
	if got, want := stages["build"].from, "golang:"+version+"-bookworm"; got != want {
		t.Errorf("go is built with %s, and go.mod says %s", got, want)
	}

	built, err := b.goStage(stages["build"])
	if err != nil {
		t.Fatal(err)
	}
	packages := map[string]string{}
	for out, p := range built.programs {
		packages[out] = p.pkg
		if dir, ok := strings.CutPrefix(p.pkg, "./cmd/"); ok && !strings.Contains(strings.Join(p.flags, " "), "/build.Version=dev") {
			t.Errorf("%s isn't stamped with its version", dir)
		}
		// The platform is the stage's own: another one here would beat --platform.
		if !slices.Contains(p.flags, "-trimpath") || !slices.Equal(p.env, []string{"CGO_ENABLED=0"}) {
			t.Errorf("%s is built with %v %v, want -trimpath, no cgo and no platform", out, p.env, p.flags)
		}
	}
	if diff := cmp.Diff(map[string]string{
		"/out/onejob": "./cmd/onejob", "/out/onejob-agent": "./cmd/onejob-agent",
		"/out/onejob-run": "./cmd/onejob-run", "/out/onejob-step": "./cmd/onejob-step", "/out/buildkite-agent": "github.com/buildkite/agent/v3",
	}, packages); diff != "" {
		t.Errorf("programs: want -, got +:\n%s", diff)
	}

	var installed []string
	for _, i := range stages["base"].instructions {
		more, _, err := debianRun(i)
		if err != nil {
			t.Fatal(err)
		}
		installed = append(installed, more...)
	}
	for _, name := range []string{"bash", "ca-certificates", "curl", "git", "jq", "libnss-unknown", "openssh-client"} {
		if !slices.Contains(installed, name) {
			t.Errorf("package %s isn't installed", name)
		}
	}

	for _, target := range []string{"agent", "scheduler"} {
		user := args(target, "USER")
		if len(user) != 1 {
			t.Fatalf("%s: got USER %v, want one", target, user)
		}
		// A kubelet can't tell whether a name is root's, and refuses it under runAsNonRoot.
		uid, _, _ := strings.Cut(user[0], ":")
		if n, err := strconv.Atoi(uid); err != nil || n == 0 {
			t.Errorf("%s: got USER %s, want a number that isn't root's", target, user[0])
		}
		for _, i := range stages[target].instructions {
			if i.name != "ENTRYPOINT" {
				continue
			}
			entry, err := execForm(i)
			if err != nil {
				t.Fatal(err)
			}
			program := "/out/" + filepath.Base(entry[0]) + " "
			if copies := strings.Join(args(target, "COPY"), "\n"); !strings.Contains(copies, program) || !strings.Contains(copies, filepath.Dir(entry[0])+"/") {
				t.Errorf("%s: ENTRYPOINT %v isn't copied by %q", target, entry, copies)
			}
		}
	}
}

func TestImages(t *testing.T) {
	if testing.Short() {
		t.Skip("debootstrap is left out by -short")
	}
	if os.Geteuid() != 0 {
		t.Fatal("debootstrap needs root: run as root, or with -short")
	}
	tests := []struct {
		name        string
		build       func() (string, error)
		config      Config
		has, hasNot []string
	}{
		{
			name:  "agent",
			build: func() (string, error) { return Agent(t.Context(), standIns) },
			config: Config{
				User: "1000:1000", WorkingDir: "/home/image", Entrypoint: []string{"/usr/local/bin/onejob-agent"},
				Env: []string{"HOME=/home/image", "NSS_UNKNOWN_HOME=/home/image", "ONEJOB_IMAGE_HOME=/home/image", "BUILDKITE_BUILD_PATH=/builds", "BUILDKITE_HOOKS_PATH=/etc/buildkite-agent/hooks", "PAGER=cat"},
			},
			has: []string{
				"usr/local/bin/onejob-agent", "usr/local/bin/buildkite-agent", "usr/bin/git", "usr/bin/bash", "usr/bin/ssh", "usr/bin/curl", "usr/bin/jq",
				"etc/ssl/certs/ca-certificates.crt", "home/image/", "builds/", "tmp/",
			},
			hasNot: []string{"etc/resolv.conf", "etc/hostname", "usr/share/doc/git/", "usr/local/bin/onejob"},
		},
		{
			name:  "scheduler",
			build: func() (string, error) { return Scheduler(t.Context(), standIns) },
			config: Config{
				User: "65532:65532", Entrypoint: []string{"/usr/local/bin/onejob"},
			},
			has:    []string{"usr/local/bin/onejob", "etc/ssl/certs/ca-certificates.crt"},
			hasNot: []string{"usr/bin/sh", "bin/sh", "bin", "usr/local/bin/onejob-agent"},
		},
		{
			name:   "stub",
			build:  func() (string, error) { return Stub(t.Context()) },
			config: Config{User: "65532:65532", Entrypoint: []string{"/stub"}},
			has:    []string{"stub"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path, err := test.build()
			if err != nil {
				t.Fatal(err)
			}
			config, files, index := readImage(t, path)
			if diff := cmp.Diff(test.config, config); diff != "" {
				t.Errorf("configuration: want -, got +:\n%s", diff)
			}
			for _, name := range test.has {
				if _, ok := files[name]; !ok {
					t.Errorf("%s is missing", name)
				}
			}
			for _, name := range test.hasNot {
				if _, ok := files[name]; ok {
					t.Errorf("%s is there", name)
				}
			}
			for name, header := range files {
				if !header.ModTime.Equal(created) {
					t.Errorf("%s has the time %s", name, header.ModTime)
					break
				}
			}
			// The same again gives the same bytes, also where it is written again.
			if err := os.Remove(path + ".key"); err != nil {
				t.Fatal(err)
			}
			if path, err = test.build(); err != nil {
				t.Fatal(err)
			}
			if _, _, again := readImage(t, path); again != index {
				t.Errorf("built twice: got index %s, then %s", index, again)
			}
		})
	}
}

// What a user's RUN lines change is in the image, and no more; the rest is the agent's.
func TestBased(t *testing.T) {
	if testing.Short() {
		t.Skip("debootstrap is left out by -short")
	}
	path, err := Based(t.Context(), "localhost/based:dev", "FROM "+AgentName+" AS mine\nRUN git config --global user.name ci\nRUN mkdir ~/.ssh && echo host > ~/.ssh/known_hosts; pwd > here\n", standIns)
	if err != nil {
		t.Fatal(err)
	}
	config, files, _ := readImage(t, path)
	if config.User != "1000:1000" || config.WorkingDir != "/home/image" {
		t.Errorf("the configuration is %+v", config)
	}
	for _, name := range []string{"home/image/.gitconfig", "home/image/.ssh/known_hosts", "home/image/here", "usr/bin/git"} {
		if header := files[name]; header == nil || strings.HasPrefix(name, "home/") && header.Uid != 1000 {
			t.Errorf("%s is %+v", name, header)
		}
	}
	if header := files["home/image/"]; header == nil || header.FileInfo().Mode().Perm() != 0o777 {
		t.Errorf("the home is %+v", header)
	}
	if _, err := Based(t.Context(), "x", "FROM debian AS x\n", standIns); !errors.Is(err, errNotUnderstood) {
		t.Errorf("another base: %v", err)
	}
}

// Times, and the order in which files were made, must not show.
func TestLayerIsReproducible(t *testing.T) {
	pack := func(names ...string) []byte {
		t.Helper()
		root := t.TempDir()
		for _, name := range names {
			if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o640); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(os.Link(filepath.Join(root, "a"), filepath.Join(root, "c")), os.Symlink("a", filepath.Join(root, "d"))); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "layer")
		if err := packTree(path, root); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	one, two := pack("a", "b"), pack("b", "a")
	if !bytes.Equal(one, two) {
		t.Error("the same tree, made in another order, gives another layer")
	}
	kinds := map[string]byte{}
	for archive := tar.NewReader(bytes.NewReader(one)); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		kinds[header.Name] = header.Typeflag
	}
	if diff := cmp.Diff(map[string]byte{"a": tar.TypeReg, "b": tar.TypeReg, "c": tar.TypeLink, "d": tar.TypeSymlink}, kinds); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// readImage returns an image's configuration, the entries of its layers, and
// its index, which has a digest over everything.
func readImage(t *testing.T, path string) (Config, map[string]*tar.Header, string) {
	t.Helper()
	blobs := map[string]func() io.Reader{}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var index string
	small := map[string][]byte{}
	for archive := tar.NewReader(file); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.Size < 1<<16 {
			data, err := io.ReadAll(archive)
			if err != nil {
				t.Fatal(err)
			}
			small[header.Name] = data
			blobs[header.Name] = func() io.Reader { return strings.NewReader(string(data)) }
			continue
		}
		offset, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			t.Fatal(err)
		}
		blobs[header.Name] = func() io.Reader { return io.NewSectionReader(file, offset, header.Size) }
	}
	index = string(small["index.json"])
	blob := func(d descriptor) string { return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:") }
	var top struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct{ Config Config }
	for _, step := range []struct {
		name func() string
		into any
	}{
		{func() string { return "index.json" }, &top},
		{func() string { return blob(top.Manifests[0]) }, &manifest},
		{func() string { return blob(manifest.Config) }, &config},
	} {
		if err := json.Unmarshal(small[step.name()], step.into); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]*tar.Header{}
	for _, layer := range manifest.Layers {
		for archive := tar.NewReader(blobs[blob(layer)]()); ; {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			files[header.Name] = header
		}
	}
	return config.Config, files, index
}
