package main

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
)

//go:embed pipeline.yml
var pipeline []byte

//go:embed repository plugin
var sources embed.FS

// pluginName is the plugin's repository; its version is a tag.
const pluginName = "greeter-buildkite-plugin"

// makeRepositories makes git repositories of the pipeline's scripts and of its
// plugin.
func makeRepositories(ctx context.Context, scripts, plugin string) error {
	if err := makeRepository(ctx, "repository", scripts); err != nil {
		return err
	}
	return makeRepository(ctx, "plugin", plugin)
}

func makeRepository(ctx context.Context, from, dir string) error {
	err := fs.WalkDir(sources, from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		content, err := sources.ReadFile(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, rel)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o755) //nolint:gosec // scripts of an example
	})
	if err != nil {
		return fmt.Errorf("making the example's repository: %w", err)
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "."},
		{"-c", "user.name=demo", "-c", "user.email=demo@example.com", "commit", "--quiet", "--message=The example"},
		{"tag", "v1.0.0"},
	} {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("git %s: %w: %s", args[0], err, out)
		}
	}
	return nil
}
