package scheduler

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	proto "go.opentelemetry.io/proto/otlp/trace/v1"
	gproto "google.golang.org/protobuf/proto"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/traces"
	"github.com/onejob-dev/onejob/simulator"
)

// collected is a collector without a network, which a bubble's clock would wait for.
type collected struct {
	mu    sync.Mutex
	spans []*proto.Span
	sent  bytes.Buffer
}

func (c *collected) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in collector.ExportTraceServiceRequest
	if err := gproto.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent.Write(body)
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			c.spans = append(c.spans, ss.Spans...)
		}
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}, nil
}

// of are the spans of an attempt, its own first.
func (c *collected) of(number int64) (root *proto.Span, within map[string]*proto.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	within = map[string]*proto.Span{}
	for _, s := range c.spans {
		if attributeOf(s, "onejob.attempt").(int64) != number {
			continue
		}
		if s.Name == "onejob attempt" {
			root = s
		} else {
			within[s.Name] = s
		}
	}
	return root, within
}

func attributeOf(s *proto.Span, key string) any {
	for _, a := range s.Attributes {
		switch {
		case a.Key != key:
		case a.Value.GetStringValue() != "":
			return a.Value.GetStringValue()
		default:
			return a.Value.GetIntValue()
		}
	}
	return nil
}

// tracing has a scheduler export to a collector.
func tracing(t *testing.T, c *collected, dropped func(string, int)) (*traces.Exporter, func(*Options)) {
	t.Helper()
	e, err := traces.New(t.Context(), traces.Config{Version: "test", Dropped: dropped, Log: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: c}})
	if err != nil {
		t.Fatal(err)
	}
	return e, func(o *Options) { o.Traces = e }
}

// A job's attempts are traces: each with what it waited for, in the order of the times,
// and the one that ran as a child of Buildkite's own span. Nothing secret is in them.
func TestTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.test:4318")
	const buildkites = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	inWorld(t, simulator.Config{}, func(w *world) {
		status := 7
		w.runs = func(w *world, p *pod) {
			w.sleep(2*time.Second, p.kill)
			p.start()
			p.set(func(o *corev1.Pod) {
				o.Status.Conditions = append(o.Status.Conditions, corev1.PodCondition{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
			})
			w.says("Pod", p.kjob+"-x", "kubelet", "Normal", "Pulling", `Pulling image "registry.test/app:1"`)
			w.sleep(3*time.Second, p.kill)
			w.says("Pod", p.kjob+"-x", "kubelet", "Normal", "Pulled", `Successfully pulled image "registry.test/app:1" in 3s`)
			began := time.Now()
			if p.attempt == 1 {
				p.end(contract.ExitExhausted, "Error", &contract.Message{Outcome: contract.OutcomeExhausted, Reason: "no network: secret-reason"})
				return
			}
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			w.sleep(10*time.Second, p.kill)
			a.finish(status)
			phase := func(name string, after, took float64) contract.Phase {
				return contract.Phase{Name: name, Start: began.Add(time.Duration(after * float64(time.Second))), Seconds: took}
			}
			p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status, Agent: "agent-1", Traceparent: buildkites,
				Tries: map[string]int{"acquire": 3}, Phases: []contract.Phase{phase("register", 0, .1), phase("acquire", .2, .3), phase("run", .5, 9), phase("report", 9.5, .2)}})
		}
		c, lost := new(collected), 0
		e, with := tracing(w.T, c, func(_ string, n int) { lost += n })
		w.build(1)
		r := w.start("", with)
		w.await("finished", 2*time.Minute, w.finished(1))
		time.Sleep(time.Minute)
		r.end(w)
		if err := e.Close(w.ctx); err != nil || lost != 0 {
			t.Errorf("%v, %d lost", err, lost)
		}

		first, firsts := c.of(1)
		second, seconds := c.of(2)
		if first == nil || second == nil {
			t.Fatalf("no spans: %v", c.spans)
		}
		if string(second.ParentSpanId) != "\xb7\xad\x6b\x71\x69\x20\x33\x31" || len(first.ParentSpanId) != 0 || string(second.Links[0].SpanId) != string(first.SpanId) {
			t.Errorf("parents %x and %x, links %v", first.ParentSpanId, second.ParentSpanId, second.Links)
		}
		if e, r := attributeOf(first, "error.type"), attributeOf(second, "cicd.pipeline.task.run.result"); e != "exhausted" || r != "failure" || attributeOf(second, "process.exit.code") != int64(7) {
			t.Errorf("the first failed of %v, the second came to %v", e, r)
		}
		order := func(root *proto.Span, within map[string]*proto.Span, names ...string) {
			t.Helper()
			var last uint64
			for _, name := range names {
				s := within["onejob "+name]
				switch {
				case s == nil:
					t.Errorf("no span %s among %d", name, len(within))
				case s.StartTimeUnixNano < last, s.EndTimeUnixNano > root.EndTimeUnixNano, s.StartTimeUnixNano < root.StartTimeUnixNano, string(s.ParentSpanId) != string(root.SpanId):
					t.Errorf("%s is out of order: %v in %v", name, s, root)
				default:
					last = s.StartTimeUnixNano
				}
			}
		}
		order(first, firsts, "queue", "reserve", "create", "schedule", "pull")
		order(second, seconds, "reserve", "create", "schedule", "pull", "register", "acquire", "report")
		if image := attributeOf(seconds["onejob pull"], "container.image.name"); image != "registry.test/app:1" || len(c.spans) > 24 {
			t.Errorf("pulled %v; %d spans", image, len(c.spans))
		}
		for _, secret := range []string{simulator.DefaultAgentToken, "sim-job-", "secret-reason"} {
			if strings.Contains(c.sent.String(), secret) {
				t.Errorf("%q was exported", secret)
			}
		}
	})
}

// Thousands of attempts that end at once have their Events read at the queue's pace; each is
// exported all the same.
func TestPullsOfTracesAreRead(t *testing.T) {
	r := full(t, 1)
	q, client := r.queues["default"].queue, r.kube.(*fake.Clientset)
	client.ClearActions()
	for range 1000 {
		q.pulls(t.Context(), "some-pod")
	}
	if n := len(client.Actions()); n == 0 || n > 2*warningsPerSecond {
		t.Errorf("Events were listed %d times", n)
	}
}

// What a job says of its end in its own words is in no trace.
func TestForgedOutcomeIsNotExported(t *testing.T) {
	for outcome, want := range map[contract.Outcome]string{contract.OutcomeFinished: "finished", contract.OutcomeStopped: "stopped", "rm -rf": "unknown"} {
		own, _ := resultOf(decide.Decision{}, decide.Facts{Pod: decide.Pod{Message: &contract.Message{Outcome: outcome}}})
		got := ""
		for _, a := range own {
			if a.Key == "onejob.outcome" {
				got = a.Value.AsString()
			}
		}
		if got != want {
			t.Errorf("outcome %q is exported as %q, want %q", outcome, got, want)
		}
	}
}
