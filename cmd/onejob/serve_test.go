package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/onejob-dev/onejob/k8s/scheduler"
)

// fixture answers on all paths; /large with more than any buffer holds.
func fixture() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte("x"), 1<<24)) })
	return mux
}

// pipes is a listener whose clients are in this process, so that time is virtual.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.done); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// A client that says nothing, or slowly, or doesn't listen, is cut in time; one
// that asks as Prometheus does is not.
func TestSlowClientsAreCut(t *testing.T) {
	every := func(d time.Duration, part string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, part); err != nil {
					return
				}
				time.Sleep(d)
			}
		}
	}
	for name, tt := range map[string]struct {
		says    string
		then    func(net.Conn)
		deaf    bool // reads nothing
		within  time.Duration
		atLeast time.Duration
	}{
		"nothing":                {within: 10 * time.Second},
		"idle after an answer":   {says: "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", within: 40 * time.Second, atLeast: 20 * time.Second},
		"a header byte by byte":  {says: "GET /healthz HTTP/1.1\r\nHost: x\r\n", then: every(time.Second, "X"), within: 10 * time.Second},
		"an endless header":      {says: "GET /healthz HTTP/1.1\r\nHost: x\r\n", then: every(0, "X-Long: "+strings.Repeat("y", 1000)+"\r\n"), within: time.Second},
		"a body that is missing": {says: "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n", within: 40 * time.Second},
		"a body byte by byte":    {says: "GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", then: every(time.Second, "X"), within: 40 * time.Second},
		"an answer not read":     {says: "GET /large HTTP/1.1\r\nHost: x\r\n\r\n", deaf: true, within: 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, its := net.Pipe()
				l := &pipes{conns: make(chan net.Conn, 1), done: make(chan struct{})}
				cut := make(chan struct{})
				l.conns <- watched{its, cut}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- serve(ctx, l, fixture()) }()
				began := time.Now()
				go func() {
					_, _ = io.WriteString(ours, tt.says)
					if tt.then != nil {
						tt.then(ours)
					}
				}()
				if !tt.deaf {
					go func() { _, _ = io.Copy(io.Discard, ours) }()
				}
				select {
				case <-cut:
				case <-time.After(time.Hour):
				}
				if took := time.Since(began); took > tt.within || took < tt.atLeast {
					t.Errorf("the connection was closed after %s, want %s to %s", took, tt.atLeast, tt.within)
				}
				ours.Close()
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
				time.Sleep(time.Second) // after an error, net/http leaves the client time to read it
			})
		})
	}
}

// watched tells when the server closes it.
type watched struct {
	net.Conn
	cut chan struct{}
}

func (w watched) Close() error {
	select {
	case <-w.cut:
	default:
		close(w.cut)
	}
	return w.Conn.Close()
}

// One client that holds all the connections it can get keeps nobody else's
// request from an answer, and holds a bounded number; so do many clients.
func TestOneClientHoldsNobodyOff(t *testing.T) {
	for name, clients := range map[string]int{"one client": 1, "more clients than there is room for": 150} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			var g errgroup.Group
			g.Go(func() error { return serve(ctx, l, fixture()) })
			scraper := clientOf(net.IPv4(127, 0, 1, 1))
			scraper.asks(t, l)
			var held []net.Conn
			for i := range 3 * mostConnections {
				from := net.IPv4(127, 0, 2, byte(1+i%clients))
				d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}, Timeout: time.Second}
				c, err := d.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil && clients == 1 {
					t.Fatal(err)
				}
				held = append(held, c)
			}
			for range 5 { // the kubelet makes a connection for each probe
				clientOf(net.IPv4(127, 0, 1, 2)).asks(t, l)
			}
			if open := stillOpen(held); open > mostConnections || open < mostConnections/2 {
				t.Errorf("%d of %d connections are open, want at most %d", open, len(held), mostConnections)
			}
			if clients == 1 {
				scraper.asks(t, l)
				if n := scraper.dialled.Load(); n != 1 {
					t.Errorf("one that is not greedy lost its connection to one that is: %d connections", n)
				}
			}
			stop()
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// client asks from an address of its own.
type client struct {
	http.Client
	dialled atomic.Int32
}

func clientOf(ip net.IP) *client {
	c := &client{}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}
	c.Timeout = time.Second // a probe's
	c.Transport = &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		c.dialled.Add(1)
		return d.DialContext(ctx, network, address)
	}}
	return c
}

func (c *client) asks(t *testing.T, l net.Listener) {
	t.Helper()
	resp, err := c.Get("http://" + l.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok\n" {
		t.Fatalf("%q, %v", b, err)
	}
}

// stillOpen counts the connections that the server has not closed.
func stillOpen(all []net.Conn) (n int) {
	for _, c := range all {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		var timeout net.Error
		if _, err := io.Copy(io.Discard, c); errors.As(err, &timeout) && timeout.Timeout() {
			n++
		}
	}
	return n
}

// stuck is a collector that tells when it is asked, and doesn't answer until it may.
type stuck struct{ asked, may chan struct{} }

func (stuck) Describe(chan<- *prometheus.Desc) {}
func (s stuck) Collect(chan<- prometheus.Metric) {
	s.asked <- struct{}{}
	<-s.may
}

// Requests for metrics, which are the costly ones, are served a few at a time.
func TestMetricsRequestsInFlight(t *testing.T) {
	const requests = 100
	m, s := scheduler.NewMetrics(), stuck{make(chan struct{}, requests), make(chan struct{})}
	m.Registry.MustRegister(s)
	h := scheduler.New(scheduler.Options{Metrics: m, Log: slog.New(slog.DiscardHandler)}).Handler(false)
	codes := make(chan int, requests)
	for range requests {
		go func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			codes <- w.Code
		}()
	}
	refused := 0
	for len(s.asked)+refused < requests {
		select {
		case code := <-codes:
			if code != http.StatusServiceUnavailable {
				t.Fatalf("answered with %d", code)
			}
			refused++
		case <-time.After(10 * time.Millisecond):
		}
	}
	if served := len(s.asked); served < 2 || served > 10 {
		t.Errorf("%d of %d requests are served at one time, want a few", served, requests)
	}
	close(s.may)
	for range requests - refused {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("answered with %d", code)
		}
	}
}
