package agentbin_test

import (
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/onejob-dev/onejob/test/agentbin"
)

func TestPathIsThePinnedAgent(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}}", "github.com/buildkite/agent/v3").Output()
	if err != nil {
		t.Fatalf("listing the module: %v", err)
	}
	want := strings.TrimPrefix(strings.TrimSpace(string(out)), "v")

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { agentbin.Path(t) })
	}
	wg.Wait()

	got, err := exec.Command(agentbin.Path(t), "--version").Output()
	if err != nil {
		t.Fatalf("running --version: %v", err)
	}
	if !strings.Contains(string(got), want) {
		t.Errorf("--version = %q, want it to contain %q", got, want)
	}
}
