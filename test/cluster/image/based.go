package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Based builds a user's image: from the agent's, by a Dockerfile of the lines
// "FROM localhost/onejob-agent:dev AS NAME" and "RUN …", which are carried out as
// docker build would, by the image's user in its environment. It returns the image's
// path; pods call it name.
func Based(ctx context.Context, name, dockerfile string, options Options) (string, error) {
	stages, err := parse(dockerfile)
	if err != nil {
		return "", err
	}
	if len(stages) != 1 || stages[0].from != AgentName {
		return "", fmt.Errorf("not one stage from %s: %w", AgentName, errNotUnderstood)
	}
	b, done, err := begin(options)
	if err != nil {
		return "", err
	}
	defer done()
	base, err := b.stage(ctx, "agent")
	if err != nil {
		return "", fmt.Errorf("Dockerfile.agent: %w", err)
	}
	hash := sha256.New()
	for _, l := range base.layers {
		fmt.Fprintln(hash, l.id)
	}
	fmt.Fprintf(hash, "%q\n%s", base.config, dockerfile)
	id := fmt.Sprintf("based-%x", hash.Sum(nil)[:8])
	made := layer{path: filepath.Join(b.cache, id+".layer"), id: id}
	if _, err := os.Stat(made.path); err != nil {
		if err := b.run(ctx, stages[0], base, made.path); err != nil {
			return "", err
		}
	}
	out := filepath.Join(b.cache, id+".tar")
	return out, writeLayout(out, name, b.options.Arch, base.config, append(base.layers[:len(base.layers):len(base.layers)], made))
}

// run carries out the RUN lines of s on base, and packs what they changed.
func (b *builder) run(ctx context.Context, s stage, base *result, out string) error {
	root, err := os.MkdirTemp(b.scratch, "based-")
	if err != nil {
		return err
	}
	if err := os.Chmod(root, 0o755); err != nil { //nolint:gosec // it becomes /, where everybody looks
		return err
	}
	for _, l := range base.layers {
		if text, err := exec.CommandContext(ctx, "tar", "--extract", "--preserve-permissions", "--numeric-owner", "--file", l.path, "--directory", root).CombinedOutput(); err != nil {
			return fmt.Errorf("unpacking the agent's image: %w: %s", err, text)
		}
	}
	// git opens it before all else. It isn't packed.
	null := filepath.Join(root, "dev", "null")
	err = syscall.Mknod(null, syscall.S_IFCHR|0o666, 1<<8|3)
	if err == nil || os.IsExist(err) {
		err = os.Chmod(null, 0o666) //nolint:gosec // as everywhere
	}
	if err != nil {
		return fmt.Errorf("making /dev/null: %w", err)
	}
	mark := filepath.Join(b.scratch, "mark")
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return err
	}
	begun, err := os.Stat(mark)
	if err != nil {
		return err
	}
	for _, i := range s.instructions {
		if i.name != "RUN" {
			return i.errorf("%w", errNotUnderstood)
		}
		args := append([]string{"--userspec=" + base.config.User, root, "/usr/bin/env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin"}, base.config.Env...)
		if err := isolated(ctx, "/usr/sbin/chroot", append(args, "/bin/sh", "-ec", "umask 022; cd "+base.config.WorkingDir+"; "+i.args)...); err != nil {
			return i.errorf("%w", err)
		}
	}
	prune(filepath.Join(b.cache, "based-*"), time.Hour)
	since := begun.Sys().(*syscall.Stat_t).Ctim.Nano()
	err = packSome(out+".new", root, func(info fs.FileInfo) bool { return info.Sys().(*syscall.Stat_t).Ctim.Nano() > since })
	if err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}
