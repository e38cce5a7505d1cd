package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/test/dashboard"
	"github.com/onejob-dev/onejob/test/promtool"
)

var (
	described = regexp.MustCompile(`fqName: "(\w+)".*variableLabels: \{([^}]*)\}`)
	// selected is a metric with what it is selected by; every one of ours has some.
	selected   = regexp.MustCompile(`(onejob_\w+)\{([^}]*)\}`)
	metricName = regexp.MustCompile(`onejob_\w+`)
	matcher    = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	grouped    = regexp.MustCompile(`\bby \(([^)]*)\)`)
	series     = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// metricsOf are the scheduler's metrics with their labels, beside which Prometheus has
// its own.
func metricsOf(t *testing.T) map[string][]string {
	t.Helper()
	ch := make(chan *prometheus.Desc, 1000)
	scheduler.NewMetrics().Registry.Describe(ch)
	close(ch)
	of := map[string][]string{}
	for d := range ch {
		if m := described.FindStringSubmatch(d.String()); m != nil && strings.HasPrefix(m[1], "onejob_") {
			of[m[1]] = append(strings.Split(m[2], ","), "namespace", "job", "pod", "le")
		}
	}
	if len(of) < 15 {
		t.Fatalf("found the metrics %v", of)
	}
	return of
}

// knows reports what an expression has of metrics and labels that aren't there.
func knows(metrics map[string][]string, expr string) (faults []string) {
	with := selected.FindAllStringSubmatch(expr, -1)
	if n := len(metricName.FindAllString(expr, -1)); n != len(with) {
		faults = append(faults, fmt.Sprintf("%d metrics, of which %d select", n, len(with)))
	}
	var all []string
	for _, m := range with {
		labels, ok := metrics[m[1]]
		if !ok {
			if labels, ok = metrics[series.ReplaceAllString(m[1], "")]; !ok {
				faults = append(faults, "there is no metric "+m[1])
			}
		}
		for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
			if ok && !slices.Contains(labels, l[1]) {
				faults = append(faults, m[1]+" has no label "+l[1])
			}
		}
		all = append(all, labels...)
	}
	for _, by := range grouped.FindAllStringSubmatch(expr, -1) {
		for l := range strings.SplitSeq(by[1], ",") {
			if l = strings.TrimSpace(l); !slices.Contains(all, l) {
				faults = append(faults, "none of the metrics has the label "+l)
			}
		}
	}
	return faults
}

// The alerts have metrics and labels that there are, and none else.
func TestAlertsHaveMetrics(t *testing.T) {
	metrics := metricsOf(t)
	for _, r := range alerts(t).Groups[0].Rules {
		for _, fault := range knows(metrics, r.Expr) {
			t.Errorf("%s: %s", r.Alert, fault)
		}
	}
}

// Prometheus takes every expression of the dashboard, and its metrics and labels are
// there.
func TestDashboard(t *testing.T) {
	panels, variables, err := dashboard.Read()
	if err != nil {
		t.Fatal(err)
	}
	metrics, used, ids := metricsOf(t), map[string]bool{}, map[int]bool{}
	var rules []rule
	legend := regexp.MustCompile(`\{\{(\w+)\}\}`)
	for _, p := range panels {
		if ids[p.ID] || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: its id %d is another's, or it has no room at %+v", p.Title, p.ID, p.GridPos)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			expr := dashboard.Filled(target.Expr, "5m")
			rules = append(rules, rule{Record: fmt.Sprintf("panel:%d_%d", p.ID, len(rules)), Expr: expr})
			for _, fault := range knows(metrics, expr) {
				t.Errorf("panel %q: %s", p.Title, fault)
			}
			for _, m := range metricName.FindAllString(expr, -1) {
				used[series.ReplaceAllString(m, "")] = true
			}
			for _, l := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if by := grouped.FindStringSubmatch(expr); by == nil || !slices.Contains(strings.Split(by[1], ", "), l[1]) {
					t.Errorf("panel %q: its legend has {{%s}}, which %s hasn't", p.Title, l[1], expr)
				}
			}
		}
	}
	for _, v := range variables {
		for _, m := range metricName.FindAllString(v.Query, -1) {
			if metrics[m] == nil {
				t.Errorf("variable %s: there is no metric %s", v.Name, m)
			}
		}
	}
	if len(used) < 15 {
		t.Errorf("the dashboard shows %d metrics", len(used))
	}
	out, err := promtool.Run(t, map[string]any{"panels.yaml": ruleFile{[]ruleGroup{{Name: "panels", Rules: rules}}}}, "check", "rules", "panels.yaml")
	if err != nil || !strings.Contains(out, fmt.Sprintf("%d rules found", len(rules))) {
		t.Errorf("%v: %s", err, out)
	}
	if !strings.Contains(mustRender(t, "base", "--set", "dashboards.enabled=true"), `"title": "onejob"`) {
		t.Error("the chart doesn't render the dashboard")
	}
}
