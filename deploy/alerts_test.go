package deploy

import (
	"bytes"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/test/promtool"
)

// ruleGroup is a group of a PrometheusRule, and of a Prometheus' own file.
type ruleGroup struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ruleFile struct {
	Groups []ruleGroup `json:"groups"`
}

// alerts are the rules of a rendering with them.
func alerts(t *testing.T, more ...string) ruleFile {
	t.Helper()
	docs := documents(mustRender(t, "base", append(more, "--set", "prometheusRule.enabled=true")...))["prometheusrule.yaml"]
	if len(docs) != 1 {
		t.Fatalf("%d PrometheusRules are rendered, want 1", len(docs))
	}
	var m monitor
	if err := yaml.UnmarshalStrict([]byte(docs[0]), &m); err != nil {
		t.Fatal(err)
	}
	return ruleFile{m.Spec.Groups}
}

// deploy/alerts has what the chart renders, for a Prometheus without the operator:
// there is one source. Prometheus takes it, the texts too.
func TestAlertsAreRendered(t *testing.T) {
	file := alerts(t, "--set", "prometheusRule.selector=")
	b, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	matches(t, "alerts/onejob.rules.yaml", "# Rendered from deploy/chart/alerts.yaml by make chart. rule_files of prometheus.yml\n# names this file; docs/runbooks.md says what to do about each alert.\n"+string(b))
	for _, f := range []ruleFile{file, alerts(t)} {
		if out, err := promtool.Run(t, map[string]any{"rules.yaml": f}, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
	var left bytes.Buffer
	for _, r := range alerts(t).Groups[0].Rules {
		left.WriteString(r.Alert + r.Expr + r.For)
	}
	if strings.Contains(left.String(), "${") {
		t.Errorf("a placeholder of alerts.yaml has no value: %s", left.String())
	}
}

// What is set of the rules is in them, and an alert that isn't there can't be disabled.
func TestAlertsAreSet(t *testing.T) {
	names := func(f ruleFile) (names []string) {
		for _, r := range f.Groups[0].Rules {
			names = append(names, r.Alert)
		}
		return names
	}
	all := names(alerts(t))
	set := alerts(t, "--set", "prometheusRule.disabled={OnejobSlotsFull},prometheusRule.thresholds.oldestWaitSeconds=77,prometheusRule.alertLabels.team=ci,prometheusRule.runbookURL=https://wiki.example/onejob")
	if got := names(set); slices.Contains(got, "OnejobSlotsFull") || len(got) != len(all)-1 {
		t.Errorf("with OnejobSlotsFull disabled there are %q", got)
	}
	for _, r := range set.Groups[0].Rules {
		if r.Alert == "OnejobJobWaitsLong" && !strings.Contains(r.Expr, "> 77\n") {
			t.Errorf("the threshold isn't in %s", r.Expr)
		}
		if r.Labels["team"] != "ci" || r.Labels["severity"] == "" || r.Annotations["runbook_url"] != "https://wiki.example/onejob#"+strings.ToLower(r.Alert) {
			t.Errorf("%s has the labels %v and the annotations %v", r.Alert, r.Labels, r.Annotations)
		}
	}
	if _, err := render(t, "base", "--set", "prometheusRule.enabled=true,prometheusRule.disabled={OnejobNone}"); err == nil || !strings.Contains(err.Error(), "there is no alert OnejobNone") {
		t.Errorf("OnejobNone disabled: %v", err)
	}
}

// Each alert has its section in the runbooks, with a command to run, and each section is
// an alert's.
func TestRunbooks(t *testing.T) {
	page, err := os.ReadFile("../docs/runbooks.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]string{}
	for _, s := range strings.Split(string(page), "\n## ")[1:] {
		title, text, _ := strings.Cut(s, "\n")
		sections[title] = text
	}
	command := regexp.MustCompile(`(?m)^    (kubectl|onejob|curl) `)
	for _, r := range alerts(t).Groups[0].Rules {
		text, ok := sections[r.Alert]
		switch {
		case !ok:
			t.Errorf("docs/runbooks.md has no section %s", r.Alert)
		case !command.MatchString(text):
			t.Errorf("docs/runbooks.md, %s: no command to run", r.Alert)
		}
		delete(sections, r.Alert)
	}
	for _, title := range slices.Sorted(maps.Keys(sections)) {
		t.Errorf("docs/runbooks.md has a section %s, and there is no such alert", title)
	}
}
