package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/onejob-dev/onejob/test/repo"
)

// programs2 are what a node with Config.Containerd2 runs, of the module in directory
// containerd. runc enters namespaces in C, before Go's threads are there, and seccomp
// profiles are libseccomp's to compile: it takes gcc, pkg-config and libseccomp-dev.
var programs2 = []repo.Program{
	{Package: "github.com/containerd/containerd/v2/cmd/containerd", Flags: []string{"-tags", "no_btrfs,no_devmapper,no_zfs"}},
	{Package: "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2"},
	{Package: "github.com/opencontainers/runc", Flags: []string{"-tags", "seccomp,urfave_cli_no_docs"}, Env: []string{"CGO_ENABLED=1"}},
}

// buildContainerd2 returns the directory of the programs. It builds those that .cache
// lacks.
func buildContainerd2(ctx context.Context) (string, error) {
	root, err := repo.Root()
	if err != nil {
		return "", err
	}
	module := filepath.Join(root, "test", "cluster", "containerd")
	key, err := kubeKey(ctx, module)
	if err != nil {
		return "", err
	}
	cache, err := repo.Cache("containerd")
	if err != nil {
		return "", err
	}
	unlock, err := repo.Lock(filepath.Join(cache, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	dir := filepath.Join(cache, key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for _, p := range programs2 {
		p.Dir, p.Out = module, filepath.Join(dir, filepath.Base(p.Package))
		if _, err := os.Stat(p.Out); err == nil {
			continue
		}
		p.Flags = append([]string{"-trimpath", "-buildvcs=false", "-ldflags", "-s -w"}, p.Flags...)
		if err := repo.Build(ctx, p); err != nil {
			return "", fmt.Errorf("%w\nit needs apt-get install gcc pkg-config libseccomp-dev", err)
		}
	}
	return dir, nil
}

// runtimeEnvironment is containerd's, and by way of it the shims': they find one another
// and runc on PATH, Debian's or ours.
func (c *Cluster) runtimeEnvironment() []string {
	env := environment()
	if dir := c.binaries.containerd; dir != "" {
		env[0] = "PATH=" + dir + ":" + env[0][len("PATH="):]
	}
	return env
}

// containerd is the program that nodes run.
func (c *Cluster) containerd() (string, error) {
	if dir := c.binaries.containerd; dir != "" {
		return filepath.Join(dir, "containerd"), nil
	}
	return find("containerd")
}
