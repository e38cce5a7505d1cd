package launcher

import (
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
// our log's place. A hook's failure ends the list.
func (r *run) hook(name string) error {
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
		// A hook that hangs must not use up the grace; before the job there is
		// no hurry.
		ctx, cancel := r.until(r.Budget.LeaveBy(), time.Hour)
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		cmd.Env = append(jobEnvironment(r.Environ),
			"BUILDKITE_AGENT_IDS="+r.session.Reply().UUID, "BUILDKITE_AGENT_NAMES="+r.session.Reply().Name)
		err = cmd.Run()
		cancel()
		if err != nil {
			r.Log.Error("a hook failed", "hook", path, "err", err)
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
