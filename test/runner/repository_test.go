package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// repository makes a git repository below the lab and returns its path.
func (l *lab) repository(name string, files map[string]string) string {
	l.Helper()
	for path, text := range files {
		l.write(filepath.Join(name, path), text, 0o755)
	}
	dir := filepath.Join(l.dir, name)
	l.git(dir, "init", "-q", "-b", "main")
	l.git(dir, "add", ".")
	l.git(dir, "-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "-q", "-m", "first")
	return dir
}

func (l *lab) git(dir string, args ...string) string {
	l.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// built makes a build that checks out repo.
func (l *lab) built(repo, pipeline string) []string {
	l.Helper()
	return l.build(simulator.BuildRequest{Repo: repo}, pipeline)
}

// hooks makes a folder of hooks, each of which says its name, and then does
// what the map says.
func (l *lab) hooks(name string, scripts map[string]string) string {
	l.Helper()
	for hook, script := range scripts {
		l.write(filepath.Join(name, hook), "#!/bin/bash\necho 'hook:"+name+":"+hook+"'\n"+script+"\n", 0o755)
	}
	return filepath.Join(l.dir, name)
}

// pass runs a job with the stock bootstrap under ours, and asserts that it
// passed.
func (l *lab) pass(id string, flags ...string) *process {
	l.Helper()
	p := l.ours(id, append([]string{l.real()}, flags...)...)
	p.wantExit(contract.ExitOK)
	if j := l.job(id); !j.Passed || !j.LogComplete {
		l.Errorf("job is %s with %s/%s/%s; its log:\n%s", j.State, j.ExitStatus, j.Signal, j.SignalReason, l.log(id))
	}
	return p
}

// wantInLog asserts that the log has all of these, in this order.
func (l *lab) wantInLog(id string, words ...string) {
	l.Helper()
	rest := l.log(id)
	for _, w := range words {
		_, after, found := strings.Cut(rest, w)
		if !found {
			l.Errorf("the log lacks %q (after what comes before it):\n%s", w, l.log(id))
			return
		}
		rest = after
	}
}

func (l *lab) wantNotInLog(id string, words ...string) {
	l.Helper()
	for _, w := range words {
		if strings.Contains(l.log(id), w) {
			l.Errorf("the log has %q:\n%s", w, l.log(id))
		}
	}
}
