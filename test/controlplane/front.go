package controlplane

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
)

// Front is an HTTP server before the API server that keeps a record of what one
// client asks of it, also while the API server is away: then it answers as a
// load balancer does, with 502.
type Front struct {
	// Kubeconfig is a file for the client, in the namespace of the Fixture.
	Kubeconfig string

	server *http.Server
	mu     sync.Mutex
	asked  []*asked
}

// asked is one request.
type asked struct {
	at         time.Time
	endpoint   string
	unanswered bool
}

type askedKey struct{}

// Front starts one for a client of the fixture's.
func (s *Fixture) Front() (*Front, error) {
	config := s.Cluster.RESTConfig()
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &Front{Kubeconfig: filepath.Join(s.Dir, "kubeconfig-front")}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1,                         // watches
		ErrorLog:      log.New(io.Discard, "", 0), // that they break off is no news
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, _ error) {
			f.mu.Lock()
			defer f.mu.Unlock()
			r.Context().Value(askedKey{}).(*asked).unanswered = true
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	f.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := f.note(r)
		defer func() {
			// A watch that breaks off: the proxy tears the client's connection
			// too, which is right, and says so by a panic.
			if v := recover(); v != nil {
				panic(http.ErrAbortHandler)
			}
		}()
		proxy.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), askedKey{}, a)))
	})}
	go f.server.Serve(listener) //nolint:errcheck // Close ends it
	return f, s.Cluster.WriteKubeconfig(f.Kubeconfig, &rest.Config{Host: "http://" + listener.Addr().String()}, s.Namespace)
}

// Close ends it, and the connections through it.
func (f *Front) Close() error { return f.server.Close() }

func (f *Front) note(r *http.Request) *asked {
	a := &asked{at: time.Now(), endpoint: endpoint(r)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, a)
	return a
}

// endpoint is what the API server's own metrics call it.
func endpoint(r *http.Request) string {
	segments := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	segments = segments[min(len(segments), map[string]int{"api": 2, "apis": 3}[segments[0]]):]
	if len(segments) > 1 && segments[0] == "namespaces" {
		segments = segments[2:]
	}
	if len(segments) == 0 {
		return strings.ToLower(r.Method) + " " + r.URL.Path
	}
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	switch {
	case verb != "":
	case r.URL.Query().Get("watch") != "":
		verb = "watch"
	case len(segments) == 1:
		verb = "list"
	default:
		verb = "get"
	}
	return verb + " " + segments[0]
}

// Unanswered counts the requests since then that found no API server, by verb
// and resource: "create jobs", "watch pods".
func (f *Front) Unanswered(since time.Time) map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := map[string]int{}
	for _, a := range f.asked {
		if a.unanswered && !a.at.Before(since) {
			n[a.endpoint]++
		}
	}
	return n
}
