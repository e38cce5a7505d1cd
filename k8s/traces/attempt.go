package traces

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/onejob-dev/onejob/contract"
)

// Attempt is one attempt at a job, which has ended.
type Attempt struct {
	Job    contract.JobID
	Number int
	// Traceparent is Buildkite's context for the job, empty if it isn't known, and
	// Previous that of the attempt before.
	Traceparent, Previous string
	Begin, End            time.Time
	// Attributes are those of all its spans, Own the attempt's.
	Attributes, Own []attribute.KeyValue
	// Failed: it came to no result of the job's.
	Failed bool
	Spans  []Span
	// Pulls asks for the pulls of its images, if the attempt is sampled; nil for none.
	Pulls func(context.Context) []Span
}

// Span is a stretch of an attempt. One whose times aren't known is left out.
type Span struct {
	Name       string
	From, To   time.Time
	Attributes []attribute.KeyValue
}

// known: both times are, and in this order. Clocks of three machines meet here.
func (s Span) known() bool { return !s.From.IsZero() && !s.To.Before(s.From) }

// maxOfAttempt is the most spans of an attempt, itself included. Of many pulls the longest
// are exported.
const maxOfAttempt = 12

// name of an attempt's own span. Start is the span that begins when the last image is there.
const (
	name  = "onejob attempt"
	Start = "onejob start"
)

// spans makes an attempt's.
func (e *Exporter) spans(ctx context.Context, a Attempt) {
	within := parent(ctx, a.Traceparent)
	options := []trace.SpanStartOption{trace.WithTimestamp(a.Begin), trace.WithAttributes(a.Attributes...), trace.WithAttributes(a.Own...)}
	if a.Number > 1 {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: before(ctx, a)}))
	}
	within, root := e.tracer.Start(named(within, a.Job, a.Number, name), name, options...)
	defer root.End(trace.WithTimestamp(later(a.Begin, a.End)))
	if !root.IsRecording() {
		return
	}
	if a.Failed {
		root.SetStatus(codes.Error, "")
	}
	for i, s := range e.all(ctx, a) {
		_, span := e.tracer.Start(named(within, a.Job, a.Number, fmt.Sprint(i, s.Name)), s.Name,
			trace.WithTimestamp(s.From), trace.WithAttributes(a.Attributes...), trace.WithAttributes(s.Attributes...))
		span.End(trace.WithTimestamp(s.To))
	}
}

// all are the spans within an attempt, in the order of their times.
func (e *Exporter) all(ctx context.Context, a Attempt) []Span {
	unknown := func(s Span) bool { return !s.known() }
	spans := slices.DeleteFunc(slices.Clone(a.Spans), unknown)
	if a.Pulls != nil {
		pulls := slices.DeleteFunc(a.Pulls(ctx), unknown)
		slices.SortStableFunc(pulls, func(a, b Span) int { return cmp.Compare(b.To.Sub(b.From), a.To.Sub(a.From)) })
		startAfter(spans, pulls)
		spans = append(spans, pulls[:min(len(pulls), max(0, maxOfAttempt-1-len(spans)))]...)
	}
	slices.SortStableFunc(spans, func(a, b Span) int { return a.From.Compare(b.From) })
	return spans[:min(len(spans), maxOfAttempt-1)]
}

// startAfter has the start begin when the last image is there.
func startAfter(spans, pulls []Span) {
	i := slices.IndexFunc(spans, func(s Span) bool { return s.Name == Start })
	for _, p := range pulls {
		if i >= 0 && !p.To.After(spans[i].To) {
			spans[i].From = later(spans[i].From, p.To)
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// parent has a job's span at Buildkite as the parent of what begins in it.
func parent(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}

// before is the span of the attempt before.
func before(ctx context.Context, a Attempt) trace.SpanContext {
	of, flags := ownTrace(a.Job), trace.FlagsSampled
	if s := trace.SpanContextFromContext(parent(ctx, a.Previous)); s.IsValid() {
		of, flags = s.TraceID(), s.TraceFlags()
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: of, SpanID: spanID(a.Job, a.Number-1, name), TraceFlags: flags, Remote: true})
}

// ids gives each span an ID that is a function of what it is about.
type ids struct{}

// about is that, in a context.
type about struct {
	job    contract.JobID
	number int
	name   string
}

type aboutKey struct{}

func named(ctx context.Context, job contract.JobID, number int, name string) context.Context {
	return context.WithValue(ctx, aboutKey{}, about{job, number, name})
}

// NewIDs is for a span without a parent.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	a, _ := ctx.Value(aboutKey{}).(about)
	return ownTrace(a.job), spanID(a.job, a.number, a.name)
}

// NewSpanID is for a span with a parent.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	a, _ := ctx.Value(aboutKey{}).(about)
	return spanID(a.job, a.number, a.name)
}

func ownTrace(job contract.JobID) (id trace.TraceID) {
	sum := sha256.Sum256([]byte(job))
	copy(id[:], sum[:])
	return id
}

func spanID(job contract.JobID, number int, name string) (id trace.SpanID) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d/%s", job, number, name))
	copy(id[:], sum[:])
	return id
}
