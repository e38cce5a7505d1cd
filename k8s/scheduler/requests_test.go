package scheduler

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// watched are the Metrics of this process that client-go counts in.
var watched = sync.OnceValue(func() *Metrics {
	m := NewMetrics()
	m.WatchClients()
	return m
})

// Requests to the API server are counted by method and status, and those without a reply.
func TestRequestsToKubernetesAreCounted(t *testing.T) {
	r := &running{Scheduler: &Scheduler{metrics: watched()}}
	before := r.metric("onejob_kubernetes_requests_total")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	kube, err := kubernetes.NewForConfig(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	get := func() { _, _ = kube.BatchV1().Jobs("a").Get(t.Context(), "b", metav1.GetOptions{}) }
	get()
	server.Close()
	get()
	if d := cmp.Diff(map[string]float64{"403 GET": before["403 GET"] + 1, "0 GET": before["0 GET"] + 1}, r.metric("onejob_kubernetes_requests_total")); d != "" {
		t.Errorf("-want +got:\n%s", d)
	}
	if n := len(r.metric("onejob_kubernetes_request_seconds")); n != 1 {
		t.Errorf("%d histograms of how long they took, want 1", n)
	}
}
