package launcher

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/buildkite/agent/v3/version"

	"github.com/onejob-dev/onejob/test/agentbin"
)

// TestCheckAgent has other agents beside us: ones that are asked, and ones that
// their file tells of.
func TestCheckAgent(t *testing.T) {
	var major, minor int
	if _, err := fmt.Sscanf(version.Version(), "%d.%d", &major, &minor); err != nil {
		t.Fatal(err)
	}
	script := func(says string) string {
		path := filepath.Join(t.TempDir(), "buildkite-agent")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+says+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// A program of the module of agent v4, which has no release's number and
	// can't be started.
	built := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module github.com/buildkite/agent/v4\n\ngo 1.24\n", "main.go": "package main\n\nfunc main() { panic(1) }\n"} {
		if err := os.WriteFile(filepath.Join(built, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-buildvcs=false", "-o", "buildkite-agent", ".")
	build.Dir, build.Env = built, append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	for _, tt := range []struct {
		name, path    string
		warning, says string
	}{
		{name: "ours", path: filepath.Join(agentbin.Onejob(t), "buildkite-agent")},
		{name: "the same", path: script("echo buildkite-agent version " + version.Version() + "+123.abc")},
		{name: "another minor", path: script(fmt.Sprintf("echo buildkite-agent version %d.%d.9+x", major, minor+1)), warning: fmt.Sprintf("is agent v%d.%d.9+x, and onejob-run is made for agent v%s", major, minor+1, version.Version())},
		{name: "another major", path: script("echo buildkite-agent version 4.0.3+12345.abc"), says: "is agent v4.0.3+12345.abc, and onejob-run is made for agent v" + version.Version()},
		{name: "another major, by its file", path: filepath.Join(built, "buildkite-agent"), says: "is agent v4, and onejob-run is made for agent v" + version.Version()},
		{name: "says nothing", path: script("exit 1"), warning: "doesn't say which version it is"},
		{name: "a script of one's own", path: "/bin/sh"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{BootstrapScript: "'" + tt.path + "' bootstrap"}
			warning, err := o.CheckAgent()
			if (tt.warning == "") != (warning == "") || !strings.Contains(warning, tt.warning) {
				t.Errorf("warning %q, want one that says %q", warning, tt.warning)
			}
			if (tt.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want one that says %q", err, tt.says)
			}
		})
	}

	// Every job pays for it.
	at := time.Now()
	for range 10 {
		agentVersion(filepath.Join(agentbin.Onejob(t), "buildkite-agent"))
	}
	if took := time.Since(at) / 10; took > 20*time.Millisecond {
		t.Errorf("it takes %v, as long as starting the agent", took)
	}
}
