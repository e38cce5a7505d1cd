package deploy

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/test/helmbin"
)

var update = flag.Bool("update", false, "render deploy/base, values.schema.json and the goldens again")

// valueSets are those that goldens are of; base is what deploy/base is rendered with.
var valueSets = []string{"minimal", "everything", "namespaces", "existing", "network"}

func valuesFile(set string) string {
	return filepath.Join("testdata", "chart", set+".values.yaml")
}

// helm runs Helm without anything of this machine's.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), helmbin.Path(t), args...)
	cmd.Env = append(os.Environ(), "HOME="+home, "HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home, "KUBECONFIG=/dev/null")
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		return out.String(), &helmError{err, problems.String() + out.String()}
	}
	return out.String(), nil
}

type helmError struct {
	err  error
	said string
}

func (e *helmError) Error() string { return e.err.Error() + ": " + e.said }

// render renders the chart as `helm template` does.
func render(t *testing.T, set string, more ...string) (string, error) {
	t.Helper()
	args := []string{"template", "onejob", "chart", "--namespace", "onejob", "--kube-version", "1.36.0", "--values", valuesFile(set)}
	return helm(t, append(args, more...)...)
}

func mustRender(t *testing.T, set string, more ...string) string {
	t.Helper()
	out, err := render(t, set, more...)
	if err != nil {
		t.Fatalf("%s: %v", set, err)
	}
	return out
}

var source = regexp.MustCompile(`(?m)^# Source: onejob/templates/(.*)$`)

// documents are what a rendering has of each template, in its order.
func documents(rendered string) map[string][]string {
	out := map[string][]string{}
	for doc := range strings.SplitSeq("\n"+rendered, "\n---\n") {
		if m := source.FindStringSubmatch(doc); m != nil {
			text := strings.TrimSpace(strings.Replace(doc, m[0], "", 1))
			out[m[1]] = append(out[m[1]], text+"\n")
		}
	}
	return out
}

// matches compares a file with what it has to be, or writes it.
func matches(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run make chart", err)
	}
	if diff := cmp.Diff(string(got), want); diff != "" {
		t.Errorf("%s is not what the chart renders: run make chart (-is +rendered)\n%s", path, diff)
	}
}

func TestChartGoldens(t *testing.T) {
	for _, set := range valueSets {
		matches(t, filepath.Join("testdata", "chart", set+".golden.yaml"), mustRender(t, set))
	}
}

// inKustomize is what a manifest of the kustomization is without: Helm's own labels,
// and the namespace that the kustomization gives it.
var inKustomize = regexp.MustCompile(`(?m)^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by|app\.kubernetes\.io/instance): .*\n|^  namespace: onejob\n`)

// Each manifest is what the chart renders with its default values: there is one source.
func TestBaseIsRendered(t *testing.T) {
	of := documents(mustRender(t, "base"))
	ours := map[string]string{
		"deployment.yaml": "base/deployment.yaml", "serviceaccount.yaml": "base/serviceaccount.yaml", "role.yaml": "base/role.yaml",
		"rolebinding.yaml": "base/rolebinding.yaml", "priorityclass.yaml": "base/priorityclass.yaml", "networkpolicy.yaml": "base/networkpolicy.yaml",
		"poddisruptionbudget.yaml": "base/poddisruptionbudget.yaml", "drainbudget.yaml": "drain/poddisruptionbudget.yaml", "operator.yaml": "operator.yaml",
	}
	for template, path := range ours {
		if len(of[template]) == 0 {
			t.Errorf("%s: nothing is rendered of it", template)
			continue
		}
		matches(t, path, "# Rendered from deploy/chart/templates/"+template+" by make chart.\n"+inKustomize.ReplaceAllString(strings.Join(of[template], "---\n"), ""))
	}
	// These are Helm's affair; the configuration is compared by what it says.
	others := []string{"configmap.yaml", "deregister.yaml", "tests/lint.yaml"}
	for _, template := range slices.Sorted(maps.Keys(of)) {
		if ours[template] == "" && !slices.Contains(others, template) {
			t.Errorf("%s is rendered with default values, and deploy/base has nothing of it", template)
		}
	}
	config := configOf(t, mustRender(t, "base", "--set", "drainBudget.enabled=auto"))
	if diff := cmp.Diff(named(t, "base/onejob.yaml"), parsed(t, config)); diff != "" {
		t.Errorf("base/onejob.yaml isn't the chart's default (-is +rendered)\n%s", diff)
	}
}

func TestChartLint(t *testing.T) {
	for _, set := range append(valueSets, "base") {
		if out, err := helm(t, "lint", "--strict", "chart", "--namespace", "onejob", "--values", valuesFile(set)); err != nil {
			t.Errorf("%s: %v\n%s", set, err, out)
		}
	}
}
