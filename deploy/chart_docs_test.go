package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/test/pages"
)

var (
	helmLine   = regexp.MustCompile(`(?m)^ {4}helm (install|upgrade) (.*)$`)
	valuesText = regexp.MustCompile("(?sm)^```yaml\n# ((?:my-)?values\\.yaml)\n(.*?)^```")
)

// Every helm command of the pages is one that renders, with the values that stand
// beside it, and so does each file of values.
func TestDocumentedHelmCommands(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	render := func(page string, args ...string) {
		out, err := helm(t, append([]string{"template", "--kube-version", "1.36.0"}, args...)...)
		if err != nil {
			t.Errorf("%s: helm %s: %v", page, strings.Join(args, " "), err)
			return
		}
		parsed(t, configOf(t, out))
	}
	token, commands, values := write("token", "bkct_a_token\n"), 0, 0
	root, paths := pages.Paths(t)
	for _, path := range paths {
		page, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		file := ""
		for _, m := range valuesText.FindAllStringSubmatch(string(page), -1) {
			values++
			file = write(m[1], strings.ReplaceAll(m[2], "REGISTRY", "registry.example"))
			render(path, "onejob", "chart", "--namespace", "onejob", "--values", file)
		}
		for _, line := range helmLine.FindAllStringSubmatch(string(page), -1) {
			commands++
			render(path, strings.Fields(strings.NewReplacer("REGISTRY", "registry.example", "deploy/chart", "chart", "=token", "="+token, "my-values.yaml", file, "'", "").Replace(line[2]))...)
		}
	}
	if commands < 3 || values < 2 {
		t.Errorf("found %d commands and %d files of values", commands, values)
	}
}

// What the pages say to push is what their helm install has Kubernetes pull.
func TestPushedImagesAreInstalled(t *testing.T) {
	pushed, pulled := map[string]bool{}, map[string]bool{}
	for _, c := range pages.Commands(t, "docker") {
		if i := slices.Index(c.Words, "-t"); i > 0 {
			pushed[c.Words[i+1]] = true
		}
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("bkct_a_token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range pages.Commands(t, "helm") {
		if c.Inline || c.Words[1] != "install" {
			continue
		}
		args := strings.Fields(strings.NewReplacer("REGISTRY", "registry.example/path", "deploy/chart", "chart", "=token", "="+token).Replace(strings.Join(c.Words[2:], " ")))
		out, err := helm(t, append([]string{"template", "--kube-version", "1.36.0"}, args...)...)
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		for _, m := range regexp.MustCompile(`image: "?(registry\.example/path/[^"\s]+)`).FindAllStringSubmatch(out, -1) {
			pulled[strings.Replace(m[1], "registry.example/path", "REGISTRY", 1)] = true
		}
	}
	if d := cmp.Diff(pushed, pulled); d != "" || len(pushed) != 2 {
		t.Errorf("what is pushed and what is pulled (-pushed +pulled):\n%s", d)
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
		"minimal": {"queue default: Jobs in namespace onejob", "registry.example/onejob-agent:v1.2.3", "agents: {queue: default}", "helm -n onejob test onejob"},
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
