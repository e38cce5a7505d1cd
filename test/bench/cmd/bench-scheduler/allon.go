package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// allOn (j) is all by which people see a scheduler at work: traces of every job to a
// collector, a queue that allows holds, and the status page, which somebody looks at. A nil
// one is nothing of that.
type allOn struct {
	page string // the scheduler's address

	mu                    sync.Mutex
	spans, roots, refused int
	pages                 samples
}

// settings are what the queue gets.
func (o *allOn) settings() string {
	if o == nil {
		return ""
	}
	return "  hold: 1h\n  annotate-usage: all\n"
}

// listen is where the scheduler is to listen; "" for nowhere.
func (o *allOn) listen() string {
	if o == nil {
		return ""
	}
	return o.page
}

// begin makes the collector and looks at the page until the returned function is called.
func (o *allOn) begin(ctx context.Context) (end func(), err error) {
	if o == nil {
		return func() {}, nil
	}
	free, err := net.Listen("tcp", "127.0.0.1:0") // the scheduler's, in a moment
	if err != nil {
		return nil, err
	}
	o.page = free.Addr().String()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err = errors.Join(err, free.Close()); err != nil {
		return nil, err
	}
	const variable = "OTEL_EXPORTER_OTLP_ENDPOINT" // the scheduler inherits it
	if err := os.Setenv(variable, "http://"+l.Addr().String()); err != nil {
		return nil, err
	}
	server := &http.Server{Handler: o, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() { _ = server.Serve(l) })
	done.Go(func() { o.look(ctx) })
	return func() {
		stop()
		_ = server.Close()
		_ = os.Unsetenv(variable)
		done.Wait()
	}, nil
}

// ServeHTTP is the collector.
func (o *allOn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &in) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				if o.spans++; s.Name == "onejob attempt" {
					o.roots++
				}
			}
		}
	}
}

// look gets the page once a second, as a browser and a program do in turn.
func (o *allOn) look(ctx context.Context) {
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for n := 0; pause(ctx, time.Second); n++ {
		began := time.Now()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/%s", o.page, []string{"", "?format=json"}[n%2]), nil)
		if err != nil {
			return
		}
		resp, err := client.Do(r)
		if err != nil {
			continue // it doesn't listen yet, or any more
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		o.mu.Lock()
		switch {
		case err != nil:
		case resp.StatusCode == http.StatusOK:
			o.pages = append(o.pages, time.Since(began))
		default:
			o.refused++
		}
		o.mu.Unlock()
	}
}

// traced waits for the traces of n jobs; the scheduler exports every five seconds.
func (o *allOn) traced(ctx context.Context, n int) {
	for range 20 {
		if o == nil {
			return
		}
		o.mu.Lock()
		there := o.roots
		o.mu.Unlock()
		if there >= n || !pause(ctx, time.Second) {
			return
		}
	}
}

// report tells what was seen during a scenario, and that it was.
func (o *allOn) report(r *report, scenario string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	r.add("j", scenario+": answers of the status page", float64(len(o.pages)), "", atLeast(1), "")
	r.add("j", scenario+": an answer of the status page, p50", ms(o.pages.at(0.5)), "ms", atMost(50), "")
	r.add("j", scenario+": an answer of the status page, p99", ms(o.pages.at(0.99)), "ms", noBar, "")
	if o.refused > 0 {
		r.add("j", scenario+": looks at the status page that were refused", float64(o.refused), "", atMost(0), "")
	}
	if scenario == "a" { // in the others no attempt ends
		r.add("j", "a: traces", float64(o.roots), "", atLeast(1), "")
		r.add("j", "a: spans of a trace", float64(o.spans)/max(1, float64(o.roots)), "", atMost(12), "")
	}
}

// marked ends the scenario's letter in lines that were measured with all on.
const marked = "+"

// within is how far, in percent, a figure with all on may be from that without.
const within = 10

// compare adds a line for each figure with a bar that was measured with all on and without.
func (r *report) compare() {
	for _, on := range r.Lines {
		letter, is := strings.CutSuffix(on.Scenario, marked)
		for _, off := range r.Lines {
			same := is && off.Scenario == letter && off.What == on.What
			if !same || off.Measured <= 0 || on.Error != "" || off.Error != "" || !strings.Contains("abd", letter) {
				continue
			}
			most := noBar
			switch {
			case strings.HasPrefix(off.Bar, "≤"):
				most = atMost(100 + within)
			case strings.HasPrefix(off.Bar, "≥"):
				most = atLeast(100 - within)
			}
			r.add("j", letter+": "+on.What+", of that with all off", 100*on.Measured/off.Measured, "%", most, "")
		}
	}
}
