package cluster

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/onejob-dev/onejob/test/repo"
)

// binaries are the programs that a cluster is made of, built from this
// repository into its .cache.
type binaries struct {
	kube       string // Kubernetes and etcd
	keeper     string // of package sandbox
	containerd string // the directory of containerd and runc; empty for Debian's
}

// Build builds what a cluster runs, unless .cache has it: minutes from a cold
// Go build cache, an instant later on. Run does it too; a CI may want it apart.
func Build(ctx context.Context) error {
	_, err := build(ctx)
	return err
}

func build(ctx context.Context) (*binaries, error) {
	root, err := repo.Root()
	if err != nil {
		return nil, err
	}
	cache, err := repo.Cache("cluster")
	if err != nil {
		return nil, err
	}
	kubeDir := filepath.Join(root, "test", "cluster", "kube")
	version, err := kubernetesVersion(kubeDir)
	if err != nil {
		return nil, err
	}
	key, err := kubeKey(ctx, kubeDir)
	if err != nil {
		return nil, err
	}
	b := &binaries{kube: filepath.Join(cache, "kube-"+key), keeper: filepath.Join(cache, "keeper")}
	unlock, err := repo.Lock(filepath.Join(cache, "lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()

	if _, err := os.Stat(b.kube); err != nil {
		if err := repo.Build(ctx, repo.Program{
			Package: ".", Dir: kubeDir, Out: b.kube, Flags: []string{"-trimpath", "-ldflags", versionFlags(version)},
		}); err != nil {
			return nil, err
		}
		old, _ := filepath.Glob(filepath.Join(cache, "kube-*"))
		for _, path := range old {
			if path != b.kube {
				_ = os.Remove(path) // 130 MB each, and one that runs keeps its file
			}
		}
	}
	// The go command knows best whether its small program is up to date.
	return b, repo.Build(ctx, repo.Program{Package: "./test/cluster/sandbox/keeper", Out: b.keeper})
}

// kubeKey is a hash over all that the binary is made from: go.sum covers the
// dependencies.
func kubeKey(ctx context.Context, dir string) (string, error) {
	version, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("asking go for its version: %w", err)
	}
	hash := sha256.New()
	fmt.Fprintf(hash, "%s\n", version)
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d\n%s", file.Name(), len(data), data)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}

var kubernetesLine = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\d+)$`)

func kubernetesVersion(dir string) ([]string, error) {
	data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
	if err != nil {
		return nil, err
	}
	match := kubernetesLine.FindStringSubmatch(string(data))
	if match == nil {
		return nil, fmt.Errorf("%s/go.mod requires no k8s.io/kubernetes", dir)
	}
	return match[1:], nil
}

// versionFlags are the linker's: without them nodes say v0.0.0-master, and
// clients that look at the server's version are misled.
func versionFlags(v []string) string {
	flags := "-s -w"
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags += fmt.Sprintf(" -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s -X %[1]s.gitTreeState=archive",
			pkg, v[0], v[1], v[2])
	}
	return flags
}
