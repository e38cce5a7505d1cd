package traces

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// The bounds of what waits for the collector.
const (
	maxAttempts = 256
	maxSpans    = 2048
	// exportWithin bounds one request with all its retries; meanwhile the next spans wait.
	exportWithin = 10 * time.Second
)

// Why spans are dropped, as a label of a metric.
const (
	DroppedFull    = "full"    // what waits for the collector has no more room
	DroppedRefused = "refused" // the collector didn't take them
)

// Config is what an Exporter is told beside OpenTelemetry's own variables.
type Config struct {
	// Version and Instance are the scheduler's, and its replica's name.
	Version, Instance string
	// Namespace is where its pod is, if Instance is a pod's name; else empty.
	Namespace string
	// Dropped counts spans that are lost, by reason.
	Dropped func(reason string, spans int)
	Log     *slog.Logger
	// Client is for tests; nil for one that trusts what the machine does, or what
	// OTEL_EXPORTER_OTLP_CERTIFICATE names.
	Client *http.Client
}

// Exporter exports attempts. A nil one does nothing. It is safe for concurrent use.
type Exporter struct {
	attempts chan Attempt
	dropped  func(string, int)
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	stop     context.CancelFunc
	done     sync.WaitGroup
}

// New returns an Exporter by OpenTelemetry's variables (OTEL_EXPORTER_OTLP_*,
// OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME); nil without an
// endpoint. It asks nobody yet. Close it.
func New(ctx context.Context, c Config) (*Exporter, error) {
	if !wanted() {
		return nil, nil
	}
	takeOver(c.Log)
	if err := checkVariables(); err != nil {
		return nil, err
	}
	options := []otlptracehttp.Option{otlptracehttp.WithTimeout(exportWithin)}
	if c.Client != nil {
		options = append(options, otlptracehttp.WithHTTPClient(c.Client))
	}
	out, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("preparing the export of traces: %w", err)
	}
	own := []attribute.KeyValue{semconv.ServiceName("onejob"), semconv.ServiceVersion(c.Version), semconv.ServiceInstanceID(c.Instance)}
	if c.Namespace != "" {
		own = append(own, semconv.K8SNamespaceName(c.Namespace), semconv.K8SPodName(c.Instance))
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(own...), resource.WithFromEnv())
	if err != nil {
		c.Log.Error("OTEL_RESOURCE_ATTRIBUTES can't be read in full: traces have the rest", "err", err)
	}
	var waiting atomic.Int64
	batches := sdk.NewBatchSpanProcessor(&counted{out, &waiting, c.Dropped}, sdk.WithMaxQueueSize(maxSpans), sdk.WithExportTimeout(exportWithin))
	e := &Exporter{attempts: make(chan Attempt, maxAttempts), dropped: c.Dropped}
	e.provider = sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithIDGenerator(ids{}), sdk.WithSpanProcessor(&gate{batches, &waiting, c.Dropped}))
	e.tracer = e.provider.Tracer("github.com/onejob-dev/onejob", trace.WithInstrumentationVersion(c.Version), trace.WithSchemaURL(semconv.SchemaURL))
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	e.stop = stop
	e.done.Go(func() { e.run(work) })
	return e, nil
}

// On reports whether attempts are exported.
func (e *Exporter) On() bool { return e != nil }

// Add has an attempt exported, or drops it. It never waits.
func (e *Exporter) Add(a Attempt) {
	if e == nil {
		return
	}
	select {
	case e.attempts <- a:
	default:
		e.dropped(DroppedFull, len(a.Spans)+1)
	}
}

// run makes spans of the attempts, one after the other.
func (e *Exporter) run(ctx context.Context) {
	for {
		select {
		case a := <-e.attempts:
			e.spans(ctx, a)
		case <-ctx.Done():
			return
		}
	}
}

// Close exports what waits, unless ctx ends first, and counts the rest as dropped.
func (e *Exporter) Close(ctx context.Context) error {
	if e == nil {
		return nil
	}
	e.stop()
	e.done.Wait()
	for {
		select {
		case a := <-e.attempts:
			e.spans(ctx, a)
		default:
			return e.provider.Shutdown(ctx)
		}
	}
}

// gate drops spans for which there is no room. The library's own queue would drop them,
// too, and wouldn't tell.
type gate struct {
	sdk.SpanProcessor
	waiting *atomic.Int64
	dropped func(string, int)
}

// OnEnd passes a span on, if there is room.
func (g *gate) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if g.waiting.Add(1) > maxSpans {
		g.waiting.Add(-1)
		g.dropped(DroppedFull, 1)
		return
	}
	g.SpanProcessor.OnEnd(s)
}

// counted notes what has left the queue, and what the collector refused.
type counted struct {
	sdk.SpanExporter
	waiting *atomic.Int64
	dropped func(string, int)
}

// ExportSpans sends a batch.
func (c *counted) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	err := c.SpanExporter.ExportSpans(ctx, spans)
	c.waiting.Add(-int64(len(spans)))
	if err != nil {
		c.dropped(DroppedRefused, len(spans))
	}
	return err
}
