package stage

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// PublishGit makes a bare copy of the repository in dir as to/NAME.git, which a
// plain file server can serve (git's dumb HTTP protocol).
func PublishGit(ctx context.Context, dir, to, name string) error {
	bare := filepath.Join(to, name+".git")
	for _, args := range [][]string{
		{"clone", "--quiet", "--bare", dir, bare},
		{"-C", bare, "update-server-info"},
	} {
		if out, err := exec.CommandContext(ctx, "git", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}
