package container

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// files are those in a folder, by their paths in it.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir+"/")] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func writeAll(t *testing.T, dir string, all map[string]string) {
	t.Helper()
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The runner gets files of its own, of what the kubelet has in a volume of links.
func TestBringSecrets(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	writeAll(t, from, map[string]string{"onejob-git-credentials/..2026/.git-credentials": "a", "onejob-checkout-env-0/..2026/KEY": "b"})
	for _, link := range [][2]string{{"..2026", "onejob-git-credentials/..data"}, {"..data/.git-credentials", "onejob-git-credentials/.git-credentials"}, {"..2026/KEY", "onejob-checkout-env-0/KEY"}} {
		if err := os.Symlink(link[0], filepath.Join(from, link[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := BringSecrets(from, to, "t"); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"token": "t", "onejob-git-credentials/.git-credentials": "a", "onejob-checkout-env-0/KEY": "b"}
	if d := cmp.Diff(want, files(t, to)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if err := BringSecrets(filepath.Join(from, "none"), to, "u"); err != nil || files(t, to)["token"] != "u" {
		t.Errorf("without a Secret for the checkout: %v, %v", err, files(t, to))
	}
	if err := BringSecrets(from, filepath.Join(to, "none"), "t"); err == nil {
		t.Error("there is no error without a volume")
	}
}

// A container that stays keeps what the job wrote, and loses what would have been deleted
// and whatever runs with the job's variables.
func TestForget(t *testing.T) {
	const job = "018f0000-0000-7000-8000-00000000f0f0"
	temp, builds := t.TempDir(), t.TempDir()
	writeAll(t, temp, map[string]string{"job-env-x/y": "", "job-env-json-z": "", "buildkite-agent-hook-wrapper1/hook-before-env": "", "onejob-keys-1/KEY": "", "own": "stays"})
	writeAll(t, builds, map[string]string{"agent/org/.buildkite-ssh-key-p-1/id": "", "agent/org/p/job-env-own": "stays"})
	left, other := exec.Command("sleep", "60"), exec.Command("sleep", "60")
	left.Env = []string{"BUILDKITE_JOB_ID=" + job}
	for _, c := range []*exec.Cmd{left, other} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Forget(job, temp, "", builds); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"own": "stays"}, files(t, temp)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"agent/org/p/job-env-own": "stays"}, files(t, builds)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	end := func(c *exec.Cmd) <-chan syscall.WaitStatus {
		ended := make(chan syscall.WaitStatus, 1)
		go func() { c.Wait(); ended <- c.ProcessState.Sys().(syscall.WaitStatus) }()
		return ended
	}
	if s := <-end(left); s.Signal() != syscall.SIGKILL {
		t.Errorf("what the job left ended with %v", s)
	}
	ended := end(other)
	select {
	case <-ended:
		t.Error("another process was killed, too")
	case <-time.After(100 * time.Millisecond):
		other.Process.Kill()
		<-ended
	}
}

// The container of one of several commands stays when that has ended: what the command left
// is killed, as it would be with the container, and nothing of the next one's is deleted.
func TestOneOfSeveralStays(t *testing.T) {
	const job = "018f0000-0000-7000-8000-00000000f0f1"
	p := aPod(t, "true", "setsid sleep 60 >/dev/null 2>&1 & echo $! > $CONTAINER_TEST_DIR/left; exit 3")
	if err := AskToStay(p.dir); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(p.dir, "buildkite-agent-hook-wrapper1") // p.dir is where temporary files are
	if err := os.WriteFile(next, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.start("runner")
	command := p.start("run")
	if err := AwaitCommands(t.Context(), p.dir, 1); err != nil {
		t.Fatal(err)
	}
	p.until("the runner is there", func() bool { return isHeld(filepath.Join(p.dir, runnerFile)) })
	<-p.start("serve", "BUILDKITE_JOB_ID="+job).ended
	b, err := os.ReadFile(filepath.Join(p.dir, "left"))
	if err != nil {
		t.Fatal(err)
	}
	p.until("what it left is killed", func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(b)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	select {
	case <-command.ended:
		t.Error("it didn't stay")
	case <-time.After(500 * time.Millisecond):
	}
	if _, err := os.Stat(next); err != nil {
		t.Errorf("a file of the next command's is gone: %v", err)
	}
}
