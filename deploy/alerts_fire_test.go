package deploy

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/test/promtool"
)

// values are series: a metric with its labels, and what it is each minute, in promtool's
// words. "" takes a series out. Unless it says otherwise, a series is of pod a.
type values map[string]string

// scenario is one in which an alert fires, after an hour, and its neighbours, which
// differ in little, and in which it doesn't.
type scenario struct {
	alert      string
	labels     map[string]string // of the alert, beside those of all
	series     values
	neighbours map[string]values // by what is different
}

const (
	always = "x90"
	grows  = "0+1x90"
)

var inQueue = map[string]string{"queue": "q"}

var scenarios = []scenario{
	{
		alert: "OnejobNoLeader", series: values{`onejob_leader{}`: "0" + always, `onejob_leader{pod="b"}`: "0" + always},
		neighbours: map[string]values{"b leads": {`onejob_leader{pod="b"}`: "1" + always}, "b has led since a minute": {`onejob_leader{pod="b"}`: "0x59 1x30"}},
	},
	{
		alert: "OnejobNoLeader", labels: map[string]string{"job": ""}, series: values{`up{}`: "0" + always},
		neighbours: map[string]values{"a leads": {`onejob_leader{}`: "1" + always}},
	},
	{
		alert: "OnejobTwoLeaders", series: values{`onejob_leader{}`: "1" + always, `onejob_leader{pod="b"}`: "1" + always},
		neighbours: map[string]values{
			"b stands by":             {`onejob_leader{pod="b"}`: "0" + always},
			"b is of another release": {`onejob_leader{pod="b"}`: "", `onejob_leader{pod="b",job="other"}`: "1" + always},
			"b is elsewhere":          {`onejob_leader{pod="b"}`: "", `onejob_leader{pod="b",namespace="other"}`: "1" + always},
			"a hands over":            {`onejob_leader{}`: "1x60 0x30", `onejob_leader{pod="b"}`: "0x59 1x30"},
		},
	},
	{
		alert: "OnejobQueueNotReady", labels: inQueue, series: values{`onejob_queue_ready{queue="q"}`: "0" + always},
		neighbours: map[string]values{"it is served": {`onejob_queue_ready{queue="q"}`: "1" + always}, "it was not for a moment": {`onejob_queue_ready{queue="q"}`: "1x58 0x30"}},
	},
	{
		alert: "OnejobTokenRefused", labels: inQueue, series: values{`onejob_buildkite_requests_total{queue="q",endpoint="token",status="401"}`: grows},
		neighbours: map[string]values{
			"one refusal":           {`onejob_buildkite_requests_total{queue="q",endpoint="token",status="401"}`: "0x58 1x30"},
			"refusals of yesterday": {`onejob_buildkite_requests_total{queue="q",endpoint="token",status="401"}`: "99" + always},
			"accepted": {
				`onejob_buildkite_requests_total{queue="q",endpoint="token",status="401"}`: "", `onejob_buildkite_requests_total{queue="q",endpoint="token",status="200"}`: grows,
			},
		},
	},
	{
		alert: "OnejobTokenRefused", labels: inQueue, series: values{`onejob_decisions_total{queue="q",action="attempt",reason="token_refused"}`: grows},
		neighbours: map[string]values{"another reason": {
			`onejob_decisions_total{queue="q",action="attempt",reason="token_refused"}`: "", `onejob_decisions_total{queue="q",action="attempt",reason="locked"}`: grows,
		}},
	},
	{
		alert: "OnejobNothingTaken", labels: inQueue, series: idleWithJobs("10"),
		neighbours: map[string]values{
			"jobs are taken":               {`onejob_phase_seconds_count{queue="q",phase="reserved"}`: grows},
			"no jobs":                      {`onejob_queue_jobs{queue="q"}`: "0" + always},
			"jobs since five minutes":      {`onejob_queue_jobs{queue="q"}`: "0x54 3x30"},
			"no queue has their tags":      {`onejob_queue_unmatched_jobs{queue="q"}`: "3" + always},
			"their next attempt isn't due": {`onejob_attempts_waiting{queue="q"}`: "3" + always},
			"paused":                       {`onejob_queue_paused{queue="q"}`: "1" + always},
			"no slot is free":              {`onejob_slots{queue="q",kind="held"}`: "10" + always},
		},
	},
	{
		alert: "OnejobNothingTaken", labels: inQueue, series: idleWithJobs("0"), // without max-in-flight
		neighbours: map[string]values{"jobs are taken": {`onejob_phase_seconds_count{queue="q",phase="reserved"}`: grows}},
	},
	{
		alert: "OnejobJobWaitsLong", labels: inQueue, series: values{`onejob_queue_oldest_wait_seconds{queue="q"}`: "1000" + always, `onejob_queue_paused{queue="q"}`: "0" + always},
		neighbours: map[string]values{"not as long": {`onejob_queue_oldest_wait_seconds{queue="q"}`: "800" + always}, "paused": {`onejob_queue_paused{queue="q"}`: "1" + always}},
	},
	{
		alert: "OnejobSlotsFull", labels: inQueue, series: values{`onejob_slots{queue="q",kind="held"}`: "10" + always, `onejob_slots{queue="q",kind="max"}`: "10" + always, `onejob_queue_jobs{queue="q"}`: "2" + always},
		neighbours: map[string]values{
			"one is free":       {`onejob_slots{queue="q",kind="held"}`: "9" + always},
			"one was free":      {`onejob_slots{queue="q",kind="held"}`: "10x40 9 10x40"},
			"no limit":          {`onejob_slots{queue="q",kind="max"}`: "0" + always},
			"no job waits":      {`onejob_queue_jobs{queue="q"}`: "0" + always},
			"full since 20 min": {`onejob_slots{queue="q",kind="held"}`: "1x39 10x40"},
		},
	},
	{
		alert: "OnejobJobsPending", labels: map[string]string{"queue": "q", "phase": "scheduled", "reason": "image"},
		series: values{`onejob_jobs_pending_oldest_seconds{queue="q",phase="scheduled",reason="image"}`: "700" + always},
		neighbours: map[string]values{
			"not as long": {`onejob_jobs_pending_oldest_seconds{queue="q",phase="scheduled",reason="image"}`: "500" + always},
			"suspended, as Kueue does": {
				`onejob_jobs_pending_oldest_seconds{queue="q",phase="scheduled",reason="image"}`: "", `onejob_jobs_pending_oldest_seconds{queue="q",phase="created",reason="suspended"}`: "90000" + always,
			},
		},
	},
	{
		alert: "OnejobWarmFloorNotMet", labels: inQueue, series: values{`onejob_placeholders{queue="q",kind="running"}`: "1" + always, `onejob_placeholders{queue="q",kind="wanted"}`: "2" + always},
		neighbours: map[string]values{
			"met": {`onejob_placeholders{queue="q",kind="running"}`: "2" + always}, "one of them was preempted": {`onejob_placeholders{queue="q",kind="running"}`: "2x50 1x30"},
		},
	},
	{
		alert: "OnejobJobsNotRun", labels: map[string]string{"queue": "q", "reason": "pending"}, series: values{`onejob_decisions_total{queue="q",action="finish",reason="pending"}`: grows},
		neighbours: map[string]values{
			"two of them": {`onejob_decisions_total{queue="q",action="finish",reason="pending"}`: "0x39 1x5 2x40"},
			"cancelled": {
				`onejob_decisions_total{queue="q",action="finish",reason="pending"}`: "", `onejob_decisions_total{queue="q",action="finish",reason="cancelled"}`: grows,
			},
			"their own command's": {
				`onejob_decisions_total{queue="q",action="finish",reason="pending"}`: "", `onejob_decisions_total{queue="q",action="none",reason="finished"}`: grows,
			},
		},
	},
	{
		alert: "OnejobJobsNotRun", labels: map[string]string{"queue": "q", "reason": "pod_lost_running"}, series: values{`onejob_decisions_total{queue="q",action="none",reason="pod_lost_running"}`: grows},
		neighbours: map[string]values{"lost before they had the job": {
			`onejob_decisions_total{queue="q",action="none",reason="pod_lost_running"}`: "", `onejob_decisions_total{queue="q",action="attempt",reason="pod_lost"}`: grows,
		}},
	},
	{
		alert: "OnejobRunnersGaveUp", labels: map[string]string{"queue": "q", "reason": "exhausted"}, series: values{`onejob_decisions_total{queue="q",action="attempt",reason="exhausted"}`: grows},
		neighbours: map[string]values{
			"one of them": {`onejob_decisions_total{queue="q",action="attempt",reason="exhausted"}`: "0x39 1x50"},
			"locked": {
				`onejob_decisions_total{queue="q",action="attempt",reason="exhausted"}`: "", `onejob_decisions_total{queue="q",action="attempt",reason="locked"}`: grows,
			},
		},
	},
	{alert: "OnejobBuildkiteErrors", labels: inQueue, series: answers("503", "0+4x90"), neighbours: map[string]values{"few of them": answers("503", grows), "answers of another kind": lacking(answers("404", "0+4x90"), "503")}},
	{alert: "OnejobBuildkiteErrors", labels: inQueue, series: answers("0", "0+4x90"), neighbours: map[string]values{"few of them": answers("0", grows)}},
	{
		alert: "OnejobBuildkiteRateLimited", labels: map[string]string{"queue": "q", "endpoint": "list"}, series: answers("429", grows),
		neighbours: map[string]values{"none of late": answers("429", "50"+always), "another error": lacking(answers("503", grows), "429")},
	},
	{
		alert: "OnejobKubernetesErrors", labels: map[string]string{"queue": "q", "verb": "delete", "reason": "Timeout"}, series: values{`onejob_kubernetes_errors_total{queue="q",verb="delete",reason="Timeout"}`: "0+2x90"},
		neighbours: map[string]values{"none of late": {`onejob_kubernetes_errors_total{queue="q",verb="delete",reason="Timeout"}`: "99" + always}},
	},
	{
		alert: "OnejobKubernetesFailing", series: values{`onejob_kubernetes_requests_total{method="GET",code="200"}`: "0+8x90", `onejob_kubernetes_requests_total{method="GET",code="0"}`: "0+4x90"},
		neighbours: map[string]values{
			"few of them": {`onejob_kubernetes_requests_total{method="GET",code="0"}`: grows},
			"answers of another kind": {
				`onejob_kubernetes_requests_total{method="GET",code="0"}`: "", `onejob_kubernetes_requests_total{method="POST",code="409"}`: "0+4x90",
			},
		},
	},
}

// idleWithJobs is a queue where jobs wait and none is taken.
func idleWithJobs(most string) values {
	return values{
		`onejob_queue_jobs{queue="q"}`: "3" + always, `onejob_queue_unmatched_jobs{queue="q"}`: "0" + always, `onejob_attempts_waiting{queue="q"}`: "0" + always,
		`onejob_phase_seconds_count{queue="q",phase="reserved"}`: "5" + always, `onejob_queue_paused{queue="q"}`: "0" + always,
		`onejob_slots{queue="q",kind="held"}`: "1" + always, `onejob_slots{queue="q",kind="max"}`: most + always,
	}
}

// answers of Buildkite: eight good ones a minute, and others.
func answers(status, of string) values {
	return values{
		`onejob_buildkite_requests_total{queue="q",endpoint="list",status="200"}`:            "0+8x90",
		`onejob_buildkite_requests_total{queue="q",endpoint="list",status="` + status + `"}`: of,
	}
}

func lacking(v values, status string) values {
	v[`onejob_buildkite_requests_total{queue="q",endpoint="list",status="`+status+`"}`] = ""
	return v
}

type inputSeries struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type expected struct {
	Labels map[string]string `json:"exp_labels"`
}

type alertTest struct {
	At     string     `json:"eval_time"`
	Alert  string     `json:"alertname"`
	Expect []expected `json:"exp_alerts"`
}

type unitTest struct {
	Name     string        `json:"name"`
	Interval string        `json:"interval"`
	Series   []inputSeries `json:"input_series"`
	Alerts   []alertTest   `json:"alert_rule_test"`
}

// input are the series in promtool's form.
func (v values) input() (out []inputSeries) {
	for _, s := range slices.Sorted(maps.Keys(v)) {
		name, labels, _ := strings.Cut(strings.TrimSuffix(s, "}"), "{")
		all := []string{labels}
		for _, l := range []string{"namespace", "job", "pod"} {
			if !regexp.MustCompile(`\b` + l + `=`).MatchString(labels) {
				all = append(all, fmt.Sprintf("%s=%q", l, map[string]string{"namespace": "onejob", "job": "onejob", "pod": "a"}[l]))
			}
		}
		if v[s] != "" {
			out = append(out, inputSeries{name + "{" + strings.TrimPrefix(strings.Join(all, ","), ",") + "}", v[s]})
		}
	}
	return out
}

// soon is just before the rule's `for` is over, as data that begins at nought has it.
func soon(t *testing.T, r rule) string {
	t.Helper()
	if r.For == "" {
		return "0m"
	}
	d, err := time.ParseDuration(r.For)
	if err != nil {
		t.Fatal(err)
	}
	return (d - time.Minute).String()
}

// Each alert fires in its scenarios, not before its time, and not in their neighbours.
func TestAlertsFire(t *testing.T) {
	file, of, told := alerts(t), map[string]rule{}, map[string]bool{}
	label := regexp.MustCompile(`\$labels\.(\w+)`)
	for i, r := range file.Groups[0].Rules {
		of[r.Alert] = r
		file.Groups[0].Rules[i].Annotations = nil // promtool would compare each text
	}
	var tests []unitTest
	for _, s := range scenarios {
		r := of[s.alert]
		told[s.alert] = true
		labels := map[string]string{"namespace": "onejob", "job": "onejob", "severity": r.Labels["severity"]}
		maps.Copy(labels, s.labels)
		maps.DeleteFunc(labels, func(_, v string) bool { return v == "" })
		for _, l := range label.FindAllStringSubmatch(r.Annotations["summary"], -1) {
			if labels[l[1]] == "" {
				t.Errorf("%s: its summary has the label %s, which the alert lacks", s.alert, l[1])
			}
		}
		tests = append(tests, unitTest{s.alert + " fires", "1m", s.series.input(), []alertTest{{"60m", s.alert, []expected{{labels}}}, {soon(t, r), s.alert, nil}}})
		if len(s.neighbours) == 0 {
			t.Errorf("%s has no neighbour", s.alert)
		}
		for _, what := range slices.Sorted(maps.Keys(s.neighbours)) {
			v := maps.Clone(s.series)
			maps.Copy(v, s.neighbours[what])
			tests = append(tests, unitTest{s.alert + " is silent: " + what, "1m", v.input(), []alertTest{{"60m", s.alert, nil}}})
		}
	}
	for name := range of {
		if !told[name] {
			t.Errorf("%s has no scenario", name)
		}
	}
	out, err := promtool.Run(t, map[string]any{
		"rules.yaml": file, "tests.yaml": map[string]any{"rule_files": []string{"rules.yaml"}, "evaluation_interval": "1m", "tests": tests},
	}, "test", "rules", "tests.yaml")
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
