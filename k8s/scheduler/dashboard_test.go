package scheduler

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/dashboard"
	"github.com/onejob-dev/onejob/test/promtool"
)

// scrapeEvery is the chart's interval, and rateOver what Grafana makes of it.
const (
	scrapeEvery = 30 * time.Second
	rateOver    = "2m"
)

// recording is what a Prometheus would have got, by series.
type recording struct {
	n  int
	of map[string][]string
}

// scrape reads the metrics once, as a replica serves them, with Prometheus' own labels.
func (rec *recording) scrape(m *Metrics) {
	w := httptest.NewRecorder()
	promhttp.HandlerFor(m.Registry, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	const own = `namespace="onejob",job="onejob",pod="onejob-0"`
	for line := range strings.SplitSeq(w.Body.String(), "\n") {
		series, value, _ := strings.Cut(strings.Replace(line, "} ", "}\x00", 1), "\x00")
		name, labels, labelled := strings.Cut(series, "{")
		if !labelled {
			name, value, _ = strings.Cut(line, " ")
			labels = "}"
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || !strings.HasPrefix(name, "onejob_") {
			continue
		}
		series = strings.Replace(name+"{"+own+","+labels, ",}", "}", 1)
		for len(rec.of[series]) < rec.n {
			rec.of[series] = append(rec.of[series], "_")
		}
		rec.of[series] = append(rec.of[series], strconv.FormatFloat(v, 'f', -1, 64))
	}
	rec.n++
}

// input are the series in promtool's form.
func (rec *recording) input() (out []map[string]string) {
	for series, values := range rec.of {
		out = append(out, map[string]string{"series": series, "values": strings.Join(values, " ")})
	}
	return out
}

// anEventfulTime has one of everything that the dashboard shows: jobs that wait, that
// start slowly, that are lost, that no queue takes; answers that are late or fail; and a
// configuration and a template that can't be used.
func anEventfulTime(w *world, rec *recording) {
	m := NewMetrics()
	pipeline := map[string]string{} // by kjob
	w.onCreate = func(k *batchv1.Job) (before, after error) {
		pipeline[k.Name] = k.Annotations[contract.AnnotationPipeline]
		return nil, nil
	}
	w.kube.PrependReactor("list", "events", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, unavailable() })
	w.runs = func(w *world, p *pod) {
		w.mu.Lock()
		slug := pipeline[p.kjob]
		w.mu.Unlock()
		switch {
		case slug == "slow":
			if w.sleep(4*time.Minute, p.kill) {
				ran(w, p)
			}
		case slug == "flaky" && p.attempt == 1:
			p.start()
			p.end(contract.ExitExhausted, "Error", &contract.Message{Outcome: contract.OutcomeExhausted})
		default:
			ran(w, p)
		}
	}
	w.sim.AddFault(simulator.Fault{Endpoint: "stacks_notify", Status: 422, From: time.Minute})
	file := filepath.Join(w.TempDir(), "template.yaml")
	template := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			w.Error(err)
		}
	}
	template("spec: {}\n")
	refused := false // the configuration; guarded by w.mu
	load := func() (*config.Config, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if refused {
			return nil, errors.New("not YAML")
		}
		return config.Parse(fmt.Appendf(nil, "endpoint: http://buildkite.test/v3\npipeline-metrics: 2\nqueues: [{name: default, max-in-flight: 4, min-agents: 1, template: {file: %s}}]\n", file), namespace)
	}
	r := w.start("", func(o *Options) { o.Load, o.Metrics = load, m })
	for i := range int(20 * time.Minute / scrapeEvery) {
		time.Sleep(scrapeEvery)
		switch i {
		case 8:
			template("spec: {containers: 7}\n")
		case 14:
			template("spec: {}\n")
		case 18, 24:
			w.mu.Lock()
			refused = i == 18
			w.mu.Unlock()
		}
		if i%4 == 0 && i < 30 {
			w.buildsOf("api", "api", "slow", "flaky", "web", "strange")
		}
		// The clientset of this world sends no requests: client-go would tell these.
		results{m.kubeRequests}.Increment(w.ctx, "200", "GET", "")
		latencies{m.kubeSeconds}.Observe(w.ctx, "GET", url.URL{}, 5*time.Millisecond)
		rec.scrape(m)
	}
	r.end(w)
}

// Each question of the dashboard, and each of its lists to choose from, has an answer in
// the metrics of a scheduler at work.
func TestDashboardShowsData(t *testing.T) {
	rec := &recording{of: map[string][]string{}}
	inWorld(t, simulator.Config{}, func(w *world) { anEventfulTime(w, rec) })
	panels, variables, err := dashboard.Read()
	if err != nil {
		t.Fatal(err)
	}
	// An answer at any time counts, unless it is no number. promtool has room for few
	// samples, so that it looks once a minute.
	var questions []map[string]any
	ask := func(expr string) {
		questions = append(questions, map[string]any{
			"expr": fmt.Sprintf("group(count_over_time(((%s) >= 0)[20m:1m]))", dashboard.Filled(expr, rateOver)), "eval_time": "20m",
			"exp_samples": []map[string]any{{"labels": "{}", "value": 1}},
		})
	}
	for _, p := range panels {
		for _, target := range p.Targets {
			ask(target.Expr)
		}
	}
	values := regexp.MustCompile(`^label_values\((\w+)\{?([^}]*)\}?, (\w+)\)$`)
	for _, v := range variables {
		if m := values.FindStringSubmatch(v.Query); m != nil {
			ask(fmt.Sprintf(`%s{%s}`, m[1], strings.TrimPrefix(m[2]+","+m[3]+`!=""`, ",")))
		} else if v.Name != "datasource" {
			t.Errorf("variable %s: what is %s?", v.Name, v.Query)
		}
	}
	if len(questions) < 30 {
		t.Errorf("%d questions", len(questions))
	}
	tests := []map[string]any{{"interval": scrapeEvery.String(), "input_series": rec.input(), "promql_expr_test": questions}}
	out, err := promtool.Run(t, map[string]any{"tests.yaml": map[string]any{"rule_files": []string{}, "tests": tests}}, "test", "rules", "tests.yaml")
	if err != nil {
		lines := slices.DeleteFunc(strings.Split(out, "\n"), func(l string) bool { return !strings.Contains(l, "expr:") && !strings.Contains(l, "rror") })
		t.Errorf("%v, of %d series: no data for\n%s", err, len(rec.of), strings.Join(lines, "\n"))
	}
}
