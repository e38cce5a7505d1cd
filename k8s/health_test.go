package k8s

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes/fake"
)

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
