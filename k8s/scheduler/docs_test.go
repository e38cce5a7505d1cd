package scheduler

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/test/reference"
)

const monitoring = "docs/monitoring.md"

// desc is how a prometheus.Desc prints itself, which has no other way to be read.
var desc = regexp.MustCompile(`fqName: "(\w+)", help: "((?:[^"\\]|\\.)*)", unit: "\w*", constLabels: \{\}, variableLabels: \{([^}]*)\}`)

// metrics are the rows of the table of metrics: name, kind, labels and help.
func metrics(t *testing.T) (rows [][]string) {
	for _, c := range NewMetrics().own() {
		kind := "gauge"
		switch c.(type) {
		case *prometheus.CounterVec:
			kind = "counter"
		case *prometheus.HistogramVec:
			kind = "histogram"
		}
		ch := make(chan *prometheus.Desc, 1)
		c.Describe(ch)
		is := (<-ch).String()
		m := desc.FindStringSubmatch(is)
		if m == nil {
			t.Fatalf("%s isn't as expected", is)
		}
		var labels []string
		for l := range strings.SplitSeq(m[3], ",") {
			if l != "" {
				labels = append(labels, "`"+l+"`")
			}
		}
		if m[2] == "" {
			t.Errorf("%s has no help, which is its description for users", m[1])
		}
		help := regexp.MustCompile(`\bonejob_\w+`).ReplaceAllString(strings.ReplaceAll(m[2], `\"`, `"`), "`$0`")
		rows = append(rows, []string{"`" + m[1] + "`", kind, strings.Join(labels, ", "), reference.Linked(t, monitoring, help)})
	}
	return rows
}

// The table of metrics is what they are: names, kinds, labels, help.
func TestMetricsPage(t *testing.T) {
	rows := metrics(t)
	slices.SortStableFunc(rows, func(a, b []string) int { return strings.Compare(a[0], b[0]) })
	reference.Block(t, monitoring, "metrics", reference.Table([]string{"metric", "kind", "labels", ""}, rows))
}

// The page for operators names every reason and Event, and no metric that isn't there.
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
	there := map[string]bool{}
	for _, row := range metrics(t) {
		there[strings.Trim(row[0], "`")] = true
	}
	for w := range told {
		if regexp.MustCompile(`^onejob_\w+$`).MatchString(w) && !there[w] {
			t.Errorf("there is no metric %s", w)
		}
	}
	if len(there) < 15 {
		t.Errorf("found the metrics %v", there)
	}

	var is []string
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

	for _, name := range is {
		if !told[name] {
			t.Errorf("%s is in neither docs/configuration.md nor docs/monitoring.md", name)
		}
	}
}
