package scheduler

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/simulator"
)

// A scheduler that starts in an outage of Buildkite's, however long and however
// long it is told to wait, is not killed for it; one whose loop is stuck is.
func TestHealthyInAnOutage(t *testing.T) {
	for name, header := range map[string]map[string]string{"503": nil, "503 with Retry-After": {"Retry-After": "600"}} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.sim.AddFault(simulator.Fault{Endpoint: "*", Status: 503, Header: header, Until: time.Hour})
				w.build(1)
				r := w.start("")
				for m := range 60 {
					time.Sleep(time.Minute)
					if f := r.unready(); len(f) != 1 || !strings.Contains(f[0], "queue default has not reached Buildkite yet: ") {
						w.Errorf("after %d minutes it is not ready for %q", m+1, f)
					}
					if f := r.unhealthy(); len(f) > 0 {
						w.Fatalf("after %d minutes: %q", m+1, f)
					}
				}
				w.await("finished", 15*time.Minute, w.finished(1))
				if f := r.unready(); len(f) > 0 {
					w.Errorf("not ready for %q", f)
				}
				r.mu.Lock()
				q := r.queues["default"]
				r.mu.Unlock()
				q.standing.mu.Lock()
				q.standing.beat = time.Now().Add(-stuckAfter - time.Second)
				q.standing.mu.Unlock()
				if f := r.unhealthy(); len(f) != 1 || !strings.Contains(f[0], "queue default") {
					w.Errorf("a loop that is stuck: %q", f)
				}
				r.end(w)
			})
		})
	}
}

// The profiler is there only if it was asked for, and never tells the command
// line.
func TestPprofOnlyWhenAsked(t *testing.T) {
	s := New(Options{Kube: fake.NewClientset()})
	for _, debug := range []bool{false, true} {
		for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 200, "/debug/pprof/": 200, "/debug/pprof/goroutine": 200, "/debug/pprof/cmdline": 404, "/debug/vars": 404} {
			if !debug && strings.HasPrefix(path, "/debug/") {
				want = http.StatusNotFound
			}
			w := httptest.NewRecorder()
			s.Handler(debug).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
			if w.Code != want {
				t.Errorf("pprof %v: %s answers %d, want %d", debug, path, w.Code, want)
			}
		}
	}
}
