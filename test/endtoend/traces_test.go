package endtoend

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
)

// traces is the collector to which the schedulers export.
var traces receiver

type receiver struct {
	mu       sync.Mutex
	requests [][]byte
	spans    map[string][]received // by the job's ID
}

type received struct {
	*otlp.Span
	resource []*common.KeyValue
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var in collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.spans == nil {
		r.spans = map[string][]received{}
	}
	r.requests = append(r.requests, body)
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				id := of(s.Attributes, "cicd.pipeline.task.run.id")
				r.spans[id] = append(r.spans[id], received{s, rs.Resource.GetAttributes()})
			}
		}
	}
}

func of(attributes []*common.KeyValue, name string) string {
	for _, a := range attributes {
		if a.Key == name {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// attempt is a root with its children in the order in which they begin.
type attempt struct {
	root     received
	children []received
}

// of are a job's attempts, in their order.
func (r *receiver) of(id string) (attempts []attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.spans[id] {
		if s.Name == "onejob attempt" {
			attempts = append(attempts, attempt{root: s})
		}
	}
	for i := range attempts {
		for _, s := range r.spans[id] {
			if bytes.Equal(s.ParentSpanId, attempts[i].root.SpanId) {
				attempts[i].children = append(attempts[i].children, s)
			}
		}
		slices.SortStableFunc(attempts[i].children, func(a, b received) int { return cmp.Compare(a.StartTimeUnixNano, b.StartTimeUnixNano) })
	}
	slices.SortFunc(attempts, func(a, b attempt) int { return cmp.Compare(a.root.EndTimeUnixNano, b.root.EndTimeUnixNano) })
	return attempts
}

// secretWord is a job's, as its command has it.
const secretWord = "only-this-job-may-know-it"

var traceRows = []row{{
	name: "traced", faults: locked, command: "WORD=" + secretWord + "; echo begun",
	act: func(s *scene) {
		s.refused()
		s.kill(s.running(1))
		s.unlock()
		s.happens("the build ends", s.done)
		s.until("both attempts are exported", func() bool {
			attempts := traces.of(s.id)
			return len(attempts) == 2 && len(attempts[1].children) >= 7
		})
		s.traced(traces.of(s.id))
	},
	exit: "0", kjobs: 2, metric: "attempt/pod_lost",
}}

// TestTraces: the scheduler exports each attempt at a job.
func TestTraces(t *testing.T) {
	t.Parallel()
	sideBySide(t, traceRows)
}

// traced looks at the trees of an attempt whose pod was lost before it had the job, and of
// the next one, which ran it.
func (s *scene) traced(attempts []attempt) {
	s.Helper()
	lost, ran := attempts[0], attempts[1]
	if got := of(lost.root.Attributes, "error.type"); got != "pod_lost" || lost.root.Status.GetCode() != otlp.Status_STATUS_CODE_ERROR {
		s.Errorf("the lost attempt is %s of type %q", lost.root.Status.GetCode(), got)
	}
	if got := of(ran.root.Attributes, "cicd.pipeline.task.run.result"); got != "success" {
		s.Errorf("the result is %q", got)
	}
	// Buildkite's own span for the job, which the acquire reply names.
	job := s.job()
	if got, want := hex.EncodeToString(ran.root.TraceId)+hex.EncodeToString(ran.root.ParentSpanId), strings.ReplaceAll(job.BuildID, "-", "")+strings.ReplaceAll(job.ID, "-", "")[16:]; got != want {
		s.Errorf("its trace and parent are %s, want Buildkite's %s", got, want)
	}
	if len(lost.root.ParentSpanId) != 0 || len(lost.root.Links) != 0 {
		s.Error("the first attempt, which never had the job, has a parent or a link")
	}
	if l := ran.root.Links; len(l) != 1 || !bytes.Equal(l[0].SpanId, lost.root.SpanId) || !bytes.Equal(l[0].TraceId, lost.root.TraceId) {
		s.Errorf("the links are %v, want the attempt before", l)
	}
	s.inOrder(lost, "queue", "reserve", "create", "schedule", "start")
	s.inOrder(ran, "queue", "reserve", "create", "schedule", "start", "register", "acquire", "report")
	for _, a := range attempts {
		s.wellFormed(a)
	}
	traces.mu.Lock()
	defer traces.mu.Unlock()
	for _, secret := range []string{simulator.DefaultAgentToken, "sim-session-", "sim-job-", secretWord} {
		if slices.ContainsFunc(traces.requests, func(b []byte) bool { return bytes.Contains(b, []byte(secret)) }) {
			s.Errorf("what the collector got has %q in it", secret)
		}
	}
}

// second is the precision of Kubernetes' times, in nanoseconds.
const second = 1_000_000_000

// inOrder wants an attempt's spans by name, each within the attempt, and none beginning
// before the one that it follows, as far as Kubernetes' seconds tell.
func (s *scene) inOrder(a attempt, names ...string) {
	s.Helper()
	last := uint64(0)
	for _, name := range names {
		i := slices.IndexFunc(a.children, func(c received) bool { return c.Name == "onejob "+name })
		if i < 0 {
			if name != "queue" && name != "reserve" { // the next attempt's job may be reserved still
				s.Errorf("an attempt has no span %s", name)
			}
			continue
		}
		c := a.children[i]
		if c.StartTimeUnixNano+second < last || c.EndTimeUnixNano < c.StartTimeUnixNano {
			s.Errorf("the span %s is from %d to %d, and the one before began at %d", name, c.StartTimeUnixNano, c.EndTimeUnixNano, last)
		}
		last = max(last, c.StartTimeUnixNano)
	}
}

// wellFormed wants of an attempt's spans what is true of all.
func (s *scene) wellFormed(a attempt) {
	s.Helper()
	if n := len(a.children) + 1; n > 12 {
		s.Errorf("an attempt has %d spans", n)
	}
	for _, c := range append(slices.Clone(a.children), a.root) {
		if c.StartTimeUnixNano < a.root.StartTimeUnixNano || c.EndTimeUnixNano > a.root.EndTimeUnixNano+second {
			s.Errorf("%s isn't within its attempt", c.Name)
		}
		if !bytes.Equal(c.TraceId, a.root.TraceId) {
			s.Errorf("%s is in another trace", c.Name)
		}
		for name, want := range map[string]string{"cicd.pipeline.task.run.id": s.id, "buildkite.queue": s.name, "k8s.namespace.name": s.namespace, "cicd.system.component": "scheduler"} {
			if got := of(c.Attributes, name); got != want {
				s.Errorf("%s: %s is %q, want %q", c.Name, name, got, want)
			}
		}
		if !strings.HasPrefix(of(c.Attributes, "k8s.job.name"), "onejob-"+s.id) || of(c.Attributes, "k8s.pod.name") == "" || of(c.Attributes, "k8s.node.name") == "" {
			s.Errorf("%s doesn't say where it was: %v", c.Name, c.Attributes)
		}
		pod := of(c.resource, "k8s.pod.name")
		if of(c.resource, "service.name") != "onejob" || of(c.resource, "service.version") == "" || of(c.resource, "service.instance.id") != pod || !strings.HasPrefix(pod, "onejob-") || of(c.resource, "k8s.namespace.name") != fixture.Namespace {
			s.Errorf("%s is of %v", c.Name, c.resource)
		}
	}
}
