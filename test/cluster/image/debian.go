package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/test/repo"
)

// debianStage makes what a Debian image and the RUN lines on it would be: one
// layer, kept in the cache until the Dockerfile changes.
func (b *builder) debianStage(ctx context.Context, s stage, tag string) (*result, error) {
	suite, slim := strings.CutSuffix(tag, "-slim")
	if !slim {
		return nil, fmt.Errorf("FROM %s: only slim images are like debootstrap's smallest: %w", s.from, errNotUnderstood)
	}
	var packages, script []string
	for _, i := range s.instructions {
		if i.name != "RUN" {
			return nil, i.errorf("in a stage from a Debian image: %w", errNotUnderstood)
		}
		more, then, err := debianRun(i)
		if err != nil {
			return nil, err
		}
		if len(more) > 0 && len(script) > 0 {
			return nil, i.errorf("packages after other commands: %w", errNotUnderstood)
		}
		packages, script = append(packages, more...), append(script, then...)
	}

	hash := sha256.New()
	fmt.Fprintf(hash, "%s %s\n%q\n%q\n%q\n", b.options.Arch, suite, packages, script, surroundings)
	id := fmt.Sprintf("debian-%x", hash.Sum(nil)[:8])
	path := filepath.Join(b.cache, id+".layer")
	done := &result{layers: []layer{{path: path, id: id}}}
	if _, err := os.Stat(path); err == nil {
		now := time.Now()
		return done, os.Chtimes(path, now, now) // for prune
	}
	tree, err := os.MkdirTemp(b.scratch, "debian-")
	if err != nil {
		return nil, err
	}
	if err := debootstrap(ctx, b.options.Arch, tree, suite, packages); err != nil {
		return nil, err
	}
	if script := strings.Join(script, " && "); script != "" {
		if err := inside(ctx, b.options.Arch, tree, "/bin/sh", "-ec", script); err != nil {
			return nil, err
		}
	}
	if err := packTree(path+".new", tree); err != nil {
		return nil, err
	}
	// Another checkout may have the same cache, and another Dockerfile.
	prune(filepath.Join(b.cache, "debian-*.layer"), 7*24*time.Hour)
	return done, os.Rename(path+".new", path)
}

// surroundings is the environment of what makes a layer, and so a part of its key: a
// layer that was made in another one would have another digest.
var surroundings = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
	"DPKG_FORCE=unsafe-io",                              // a tree that a crash leaves behind is never used
	fmt.Sprintf("SOURCE_DATE_EPOCH=%d", created.Unix())} // passwd's tools write the day

// debianRun reads "apt-get update && apt-get install … && script": packages are
// debootstrap's business, the rest is run as it is.
func debianRun(i instruction) (packages, script []string, err error) {
	for command := range strings.SplitSeq(i.args, "&&") {
		command = strings.TrimSpace(command)
		fields := strings.Fields(command)
		switch {
		case len(fields) == 0:
			return nil, nil, i.errorf("an empty command")
		case fields[0] != "apt-get":
			script = append(script, command)
		case len(script) > 0:
			return nil, nil, i.errorf("%q after other commands: %w", command, errNotUnderstood)
		case command == "apt-get update":
		case strings.HasPrefix(command, "apt-get install -y --no-install-recommends "):
			packages = append(packages, fields[4:]...)
		default:
			return nil, nil, i.errorf("%q: %w", command, errNotUnderstood)
		}
	}
	return packages, script, nil
}

// debootstrap unpacks a minimal Debian of an architecture, with packages, to tree.
func debootstrap(ctx context.Context, arch, tree, suite string, packages []string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("debootstrap needs root, and this is uid %d", os.Geteuid())
	}
	if _, err := exec.LookPath("/usr/sbin/debootstrap"); err != nil {
		return fmt.Errorf("debootstrap isn't installed: apt-get install debootstrap")
	}
	mirror, err := mirrorOf(suite)
	if err != nil {
		return err
	}
	args := []string{"--variant=minbase", "--arch=" + arch}
	if arch != runtime.GOARCH {
		args = append(args, "--foreign")
	}
	if len(packages) > 0 {
		args = append(args, "--include="+strings.Join(packages, ","))
	}
	if err := isolated(ctx, "/usr/sbin/debootstrap", append(args, suite, tree, mirror)...); err != nil {
		return err
	}
	if arch != runtime.GOARCH {
		if err := inside(ctx, arch, tree, "/debootstrap/debootstrap", "--second-stage"); err != nil {
			return err
		}
	}
	// The machine's own, which debootstrap copies: a container's runtime gives it others.
	for _, name := range []string{"resolv.conf", "hostname"} {
		if err := os.Remove(filepath.Join(tree, "etc", name)); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// machines are the architectures that images are made for, as qemu calls them.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}

// inside runs a program of a tree in it: by package emulate where it is for another
// architecture than this machine's.
func inside(ctx context.Context, arch, tree string, command ...string) error {
	if arch == runtime.GOARCH {
		return isolated(ctx, "/usr/sbin/chroot", append([]string{tree}, command...)...)
	}
	machine := machines[arch]
	if machine == "" {
		return fmt.Errorf("no image is made for %s", arch)
	}
	for _, program := range []string{"/usr/bin/qemu-" + machine + "-static", "/usr/bin/proot"} {
		if _, err := os.Stat(program); err != nil {
			return fmt.Errorf("an image for %s needs %s here: apt-get install proot qemu-user-static", arch, program)
		}
	}
	emulate := filepath.Join(filepath.Dir(tree), "emulate")
	if err := repo.Build(ctx, repo.Program{Package: "./test/cluster/image/emulate", Out: emulate}); err != nil {
		return err
	}
	return isolated(ctx, emulate, append([]string{machine, tree}, command...)...)
}
