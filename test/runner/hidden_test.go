package runner_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/hunt"
)

// nobody is the user that the jobs of these tests run as.
const nobody = 65534

// TestHiddenToken runs a job that looks for the agent token, as the same user
// as the runner, wherever such a process can look; then the test looks in all
// that is left behind.
func TestHiddenToken(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("it takes root to run as somebody else")
	}
	random := make([]byte, 20)
	rand.Read(random)
	token := "bkct_" + hex.EncodeToString(random)
	l := newLab(t, simulator.Config{AgentToken: token})
	needle := l.write("needle", hunt.Backwards(token), 0o644)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hunter := filepath.Join(l.dir, "hunter")
	if err := install(self, hunter); err != nil {
		t.Fatal(err)
	}

	id := l.command("env; " + huntEnv + "=" + needle + " HUNT_DIRS=" + l.dir + " " + hunter)
	cmd := l.oursCommand(id, l.real(), "--skip-checkout", "--debug", "--debug-http")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if err := os.Chown(cmd.Dir, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	p := l.start(cmd)
	p.wantExit(contract.ExitOK)
	l.wantJob(id, "0", "", "")
	log := l.log(id)
	for _, want := range []string{"onejob-agent hidden=true", "onejob-run hidden=true"} {
		if !strings.Contains(log, want) {
			t.Errorf("the job doesn't say %q", want)
		}
	}
	// The hunt can find what there is to be found.
	if !strings.Contains(log, "control=[environ mem]") {
		t.Error("the hunt didn't find the secret that was laid out for it")
	}
	if strings.Contains(log, "FOUND") || strings.Contains(log, token) || strings.Contains(log, contract.EnvToken+"=") {
		t.Error("the job found the token")
	}
	if t.Failed() {
		t.Logf("the job's log:\n%s", log)
	}

	// What is left: our own log, the message, the job's files, what Buildkite
	// was sent beside the Authorization.
	err = filepath.WalkDir(l.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return nil
		}
		if b, err := os.ReadFile(path); err != nil || bytes.Contains(b, []byte(token)) {
			t.Errorf("%s holds the token (%v)", path, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for _, r := range l.Requests() {
		if strings.Contains(r.Path+r.Query, token) {
			t.Errorf("%s %s?%s has the token in it", r.Method, r.Path, r.Query)
		}
		for name, value := range r.Header {
			if strings.Contains(value, token) {
				t.Errorf("%s: header %s has the token in it", r.Endpoint, name)
			}
		}
	}
}

// TestHiddenTokenFile: the token may come from a file, which the environment
// of the job doesn't name.
func TestHiddenTokenFile(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	file := l.write("token", l.token+"\n", 0o600)
	id := l.command("env; echo end")
	cmd := l.oursCommand(id, "--token-file="+file)
	cmd.Env = slices.DeleteFunc(cmd.Env, func(e string) bool { return strings.HasPrefix(e, contract.EnvToken+"=") })
	p := l.start(cmd)
	p.wantExit(contract.ExitOK)
	if log := l.log(id); strings.Contains(log, l.token) || strings.Contains(log, "ONEJOB_") || !strings.Contains(log, "end") {
		t.Errorf("the job's environment has something of ours:\n%s", log)
	}
}
