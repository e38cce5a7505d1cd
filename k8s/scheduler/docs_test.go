package scheduler

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// The pages for operators name every setting, metric, reason and Event, and none that
// isn't there.
func TestOperatorsDocs(t *testing.T) {
	told := map[string]bool{}
	for _, page := range []string{"configuration.md", "monitoring.md"} {
		b, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(string(b), -1) {
			told[w[1]] = true
		}
	}

	var is []string
	ch := make(chan *prometheus.Desc, 1000)
	NewMetrics().Registry.Describe(ch)
	close(ch)
	for d := range ch {
		if name := regexp.MustCompile(`fqName: "(onejob_\w+)"`).FindStringSubmatch(d.String()); name != nil {
			is = append(is, name[1])
		}
	}
	for w := range told {
		if regexp.MustCompile(`^onejob_\w+$`).MatchString(w) && !slices.Contains(is, w) {
			t.Errorf("there is no metric %s", w)
		}
	}
	if len(is) < 15 {
		t.Errorf("found the metrics %q", is)
	}

	var source strings.Builder
	files, _ := filepath.Glob("../*/*.go")
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && !strings.HasSuffix(f, "_test.go") {
			source.Write(text)
		}
	}
	for _, pattern := range []string{`Reason\w* +Reason = "(\w+)"`, `Action = "(\w+)"`, `[eE]vent\([^\n]*"([A-Z][a-z]+[A-Z]?\w*)",`, `= "(Job[A-Z]\w+)"`} {
		found := regexp.MustCompile(pattern).FindAllStringSubmatch(source.String(), -1)
		if len(found) < 3 {
			t.Errorf("%s finds %d in the source", pattern, len(found))
		}
		for _, m := range found {
			if decide.Action(m[1]) != decide.Ask { // never carried out, and so never counted
				is = append(is, m[1])
			}
		}
	}

	var schema struct{ Properties map[string]any }
	if err := json.Unmarshal(config.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	var keys func(m map[string]any)
	keys = func(m map[string]any) {
		for k, v := range m {
			is = append(is, k)
			o, _ := v.(map[string]any)
			if items, ok := o["items"].(map[string]any); ok {
				o = items
			}
			if p, ok := o["properties"].(map[string]any); ok && k == "queues" {
				keys(p)
			}
		}
	}
	keys(schema.Properties)
	for _, name := range is {
		if !told[name] {
			t.Errorf("%s is in neither docs/configuration.md nor docs/monitoring.md", name)
		}
	}
}
