package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	helmLine   = regexp.MustCompile(`(?m)^ {4}helm (install|upgrade) (.*)$`)
	valuesText = regexp.MustCompile("(?s)```yaml\n# my-values.yaml\n(.*?)```")
)

// Every helm command of the pages is one that renders, with the values that stand
// beside it.
func TestDocumentedHelmCommands(t *testing.T) {
	dir := t.TempDir()
	token, values := filepath.Join(dir, "token"), filepath.Join(dir, "my-values.yaml")
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	m := valuesText.FindSubmatch(page)
	if m == nil {
		t.Fatal("README.md has no my-values.yaml")
	}
	for path, text := range map[string]string{token: "bkct_a_token\n", values: strings.ReplaceAll(string(m[1]), "REGISTRY", "registry.example")} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for _, path := range []string{"README.md", "../README.md"} {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range helmLine.FindAllStringSubmatch(string(page), -1) {
			found++
			args := strings.Fields(strings.NewReplacer("REGISTRY", "registry.example", "deploy/chart", "chart", "=token", "="+token, "my-values.yaml", values, "'", "").Replace(line[2]))
			out, err := helm(t, append([]string{"template", "--kube-version", "1.36.0"}, args...)...)
			if err != nil {
				t.Errorf("%s: helm %s: %v", path, line[0], err)
				continue
			}
			parsed(t, configOf(t, out))
		}
	}
	if found < 3 {
		t.Errorf("found %d commands", found)
	}
}

// Helm names, by namespace, what the values take for granted and isn't there.
func TestChartNotes(t *testing.T) {
	notes := func(set string, more ...string) string {
		t.Helper()
		out, err := helm(t, append([]string{"install", "onejob", "chart", "--namespace", "onejob", "--dry-run=client", "--values", valuesFile(set)}, more...)...)
		if err != nil {
			t.Fatal(err)
		}
		_, notes, _ := strings.Cut(out, "NOTES:")
		return notes
	}
	for set, want := range map[string][]string{
		"minimal": {"queue default: Jobs in namespace onejob", "registry.example/onejob-dev/onejob-agent:v1.2.3", "agents: {queue: default}", "helm -n onejob test onejob"},
		"existing": {
			"kubectl -n ci create secret generic buildkite --from-file=agent-token", "kubectl -n onejob create secret generic buildkite --from-file=agent-token",
			"Secret pull to pull images with, in namespace ci", "Secret pull to pull images with, in namespace onejob",
		},
		"base": {"Secret onejob-agent-token with the agent token, in namespace onejob", `tag is "latest"`},
	} {
		got := notes(set)
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: the notes lack %q:\n%s", set, w, got)
			}
		}
	}
	if got := notes("minimal"); strings.Contains(got, "MISSING") || strings.Contains(got, "latest") {
		t.Errorf("nothing is missing, and the notes say:\n%s", got)
	}
	if got := notes("existing", "--set", "lookForMissing=false"); strings.Contains(got, "MISSING") {
		t.Errorf("with lookForMissing=false the notes say:\n%s", got)
	}
}
