package launcher

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// hook runs the agent's lifecycle hooks of that name (agent-startup,
// agent-shutdown), the global one and the additional ones, with their output in
// our log's place. A hook's failure ends the list; the end of ctx kills it.
func (r *run) hook(ctx context.Context, name string) error {
	dirs := slices.Concat([]string{r.Options.HooksPath}, r.Options.AdditionalHooksPaths)
	for _, dir := range dirs {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if dir == "" || err != nil || info.IsDir() {
			continue
		}
		argv := []string{path}
		if info.Mode()&0o111 == 0 {
			shell := r.Options.HooksShell
			if shell == "" {
				shell = "/bin/bash"
			}
			argv = append(strings.Fields(shell), path)
		}
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Env = append(jobEnvironment(r.Environ),
			"BUILDKITE_AGENT_IDS="+r.session.Reply().UUID, "BUILDKITE_AGENT_NAMES="+r.session.Reply().Name)
		err = cmd.Run()
		if err != nil {
			r.Log.Error("a hook failed", "hook", path, "err", err)
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

// shutdownHook runs the agent-shutdown hooks, for as long as the grace allows.
func (r *run) shutdownHook() {
	ctx, cancel := r.until(r.Budget.LeaveBy(), time.Hour)
	defer cancel()
	r.hook(ctx, "agent-shutdown") //nolint:errcheck // logged
}
