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

// The table of metrics has the labels of each, and says which have no queue.
func TestMetricsTable(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "monitoring.md"))
	if err != nil {
		t.Fatal(err)
	}
	page, words := string(b), regexp.MustCompile("`([^`]*)`")
	named := func(text string) (names []string) {
		for _, m := range words.FindAllStringSubmatch(text, -1) {
			names = append(names, m[1])
		}
		slices.Sort(names)
		return names
	}
	told, queueless := map[string][]string{}, named(regexp.MustCompile(`(?s)Labels are \x60queue\x60 \(on all but (.*?)\)`).FindString(page))
	for _, row := range regexp.MustCompile("(?m)^\\| (`onejob_[^|]*) \\| ([^|]*) \\|").FindAllStringSubmatch(page, -1) {
		for _, name := range named(row[1]) {
			told[name] = named(row[2])
		}
	}
	ch := make(chan *prometheus.Desc, 1000)
	NewMetrics().Registry.Describe(ch)
	close(ch)
	for d := range ch {
		m := regexp.MustCompile(`fqName: "(onejob_\w+)".*variableLabels: \{([^}]*)\}`).FindStringSubmatch(d.String())
		if m == nil {
			continue
		}
		labels := strings.FieldsFunc(m[2], func(r rune) bool { return r == ',' })
		slices.Sort(labels)
		requests := strings.HasPrefix(m[1], "onejob_kubernetes_request")
		if !slices.Contains(labels, "queue") && !requests && !slices.Contains(queueless, m[1]) {
			t.Errorf("%s has no label queue, and the page doesn't say so", m[1])
		}
		labels = slices.DeleteFunc(labels, func(l string) bool { return l == "queue" })
		if !slices.Equal(labels, told[m[1]]) {
			t.Errorf("%s has the labels %q beside queue, and in the table %q", m[1], labels, told[m[1]])
		}
	}
}
