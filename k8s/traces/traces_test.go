package traces

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	proto "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	gproto "google.golang.org/protobuf/proto"

	"github.com/onejob-dev/onejob/contract"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	buildkites = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled  = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// received is an OTLP receiver.
type received struct {
	mu     sync.Mutex
	spans  []*proto.Span
	header http.Header
	status int
	hold   chan struct{} // answers wait for it, unless it is nil
}

func (r *received) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.hold != nil {
		<-r.hold
	}
	body, _ := io.ReadAll(req.Body)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.header = req.Header
	var in collector.ExportTraceServiceRequest
	if err := gproto.Unmarshal(body, &in); err != nil || req.URL.Path != "/v1/traces" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.status != 0 {
		w.WriteHeader(r.status)
		return
	}
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
}

type drops struct {
	mu sync.Mutex
	by map[string]int
}

func (d *drops) add(reason string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil {
		d.by = map[string]int{}
	}
	d.by[reason] += n
}

func exporter(t *testing.T, r *received) (*Exporter, *drops) {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=secret")
	d := new(drops)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	e, err := New(t.Context(), Config{Version: "v1", Instance: "a", Dropped: d.add, Log: slog.New(slog.DiscardHandler), Client: &http.Client{Transport: transport}})
	if err != nil || !e.On() {
		t.Fatal(e, err)
	}
	return e, d
}

func closes(t *testing.T, e *Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Error(err)
	}
}

var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }

func attempt(number int, traceparent string) Attempt {
	return Attempt{
		Job: contract.SampleJobID, Number: number, Traceparent: traceparent, Begin: at(0), End: at(20),
		Attributes: []attribute.KeyValue{attribute.String("common", "yes")}, Own: []attribute.KeyValue{attribute.String("own", "yes")},
		Spans: []Span{{Name: "onejob queue", From: at(0), To: at(3)}, {Name: "unknown", To: at(3)}, {Name: "backwards", From: at(3), To: at(2)}, {Name: Start, From: at(4), To: at(9)}},
		Pulls: func(context.Context) []Span { return []Span{{Name: "onejob pull", From: at(5), To: at(8)}} },
	}
}

// An attempt is a child of Buildkite's span, or begins a trace; the next one has a link to
// it; its spans are within it, in the order of their times, each with an ID of its own.
func TestTree(t *testing.T) {
	r := new(received)
	e, d := exporter(t, r)
	e.Add(attempt(1, ""))
	e.Add(attempt(2, buildkites))
	third := attempt(3, buildkites)
	third.Previous, third.Failed = buildkites, true
	e.Add(third)
	e.Add(attempt(4, unsampled))
	closes(t, e)
	if len(r.spans) != 3*4 || len(d.by) != 0 || r.header.Get("Authorization") != "secret" {
		t.Fatalf("%d spans, dropped %v, %v", len(r.spans), d.by, r.header)
	}
	roots, seen := []*proto.Span{}, map[string]bool{}
	for _, s := range r.spans {
		if seen[string(s.SpanId)] {
			t.Errorf("two spans have the ID of %s", s.Name)
		}
		seen[string(s.SpanId)] = true
		if s.Name == name {
			roots = append(roots, s)
		}
	}
	for i, root := range roots {
		var last uint64
		for _, s := range r.spans {
			if string(s.ParentSpanId) != string(root.SpanId) {
				continue
			}
			inside := s.StartTimeUnixNano >= root.StartTimeUnixNano && s.EndTimeUnixNano <= root.EndTimeUnixNano && s.StartTimeUnixNano <= s.EndTimeUnixNano
			if string(s.TraceId) != string(root.TraceId) || !inside || s.StartTimeUnixNano < last {
				t.Errorf("%s of attempt %d: %v, in %v", s.Name, i+1, s, root)
			}
			last = s.StartTimeUnixNano
			if s.Name == Start && s.StartTimeUnixNano != uint64(at(8).UnixNano()) {
				t.Error("it started before its image was there")
			}
		}
		links := ""
		for _, l := range root.Links {
			links += string(l.TraceId) + string(l.SpanId)
		}
		want := ""
		if i > 0 {
			want = string(roots[i-1].TraceId) + string(roots[i-1].SpanId)
		}
		if links != want {
			t.Errorf("attempt %d links to %x, want %x", i+1, links, want)
		}
	}
	if p := roots[1].ParentSpanId; len(roots[0].ParentSpanId) != 0 || string(p) != "\xb7\xad\x6b\x71\x69\x20\x33\x31" || roots[1].TraceId[0] != 0x0a {
		t.Errorf("parents %x and %x", roots[0].ParentSpanId, p)
	}
	if roots[2].Status.GetCode() != proto.Status_STATUS_CODE_ERROR || roots[1].Status.GetCode() == proto.Status_STATUS_CODE_ERROR {
		t.Errorf("status %v and %v", roots[1].Status, roots[2].Status)
	}
}

// Twelve spans at the most, and the longest pulls.
func TestManyPulls(t *testing.T) {
	r := new(received)
	e, _ := exporter(t, r)
	a := attempt(1, "")
	a.Pulls = func(context.Context) (pulls []Span) {
		for i := range 40 {
			pulls = append(pulls, Span{Name: "onejob pull", From: at(4), To: t0.Add(4*time.Second + time.Duration(i)*time.Millisecond)})
		}
		return pulls
	}
	e.Add(a)
	closes(t, e)
	if len(r.spans) != maxOfAttempt {
		t.Errorf("%d spans", len(r.spans))
	}
	for _, s := range r.spans {
		if s.Name == "onejob pull" && s.EndTimeUnixNano-s.StartTimeUnixNano < uint64(30*time.Millisecond) {
			t.Errorf("a pull of %d ns is there, and longer ones aren't", s.EndTimeUnixNano-s.StartTimeUnixNano)
		}
	}
}

// Nobody waits for a collector that hangs: what has no room is dropped and counted.
func TestCollectorHangs(t *testing.T) {
	r := &received{hold: make(chan struct{})}
	e, d := exporter(t, r)
	const many = 4000
	began := time.Now()
	for range many {
		a := attempt(1, "")
		a.Pulls = nil
		e.Add(a)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("adding took %s", took)
	}
	close(r.hold)
	closes(t, e)
	lost := d.by[DroppedFull]
	if lost == 0 {
		t.Error("nothing was dropped")
	}
	if got := len(r.spans); got == 0 || got > many*3 {
		t.Errorf("%d spans came", got)
	}
}

// What the collector refuses is counted.
func TestCollectorRefuses(t *testing.T) {
	r := &received{status: http.StatusBadRequest}
	e, d := exporter(t, r)
	e.Add(attempt(1, ""))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = e.Close(ctx)
	if d.by[DroppedRefused] != 4 {
		t.Errorf("dropped %v, want 4 refused", d.by)
	}
}

// Without an endpoint there is nothing, and nobody minds.
func TestOff(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"} {
		t.Setenv(name, "")
	}
	e, err := New(t.Context(), Config{})
	if err != nil || e.On() {
		t.Fatal(e, err)
	}
	e.Add(Attempt{})
	if err := e.Close(t.Context()); err != nil {
		t.Error(err)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	if _, err := New(t.Context(), Config{}); err == nil || !strings.Contains(err.Error(), "http/protobuf") {
		t.Errorf("got %v", err)
	}
}
