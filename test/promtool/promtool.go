// Package promtool runs Prometheus' program of that name, which checks and evaluates
// what is written for Prometheus.
package promtool

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/test/repo"
)

// Run runs it, in a directory with files, each of which is given as what its YAML says,
// and returns what it says.
func Run(t *testing.T, files map[string]any, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		dir, err := repo.Cache("promtool")
		if err != nil {
			t.Fatal(err)
		}
		path = filepath.Join(dir, "promtool")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("promtool isn't there: run `make promtool`, or install Debian's package prometheus")
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	for name, content := range files {
		b, err := yaml.Marshal(content)
		if err == nil {
			err = os.WriteFile(filepath.Join(cmd.Dir, name), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
