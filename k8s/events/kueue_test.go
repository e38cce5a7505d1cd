package events

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/k8s/kube"
)

// What Kueue says of a Job that it holds, whatever a cluster has, and allows.
func TestKueueSays(t *testing.T) {
	const group = `{"kind":"APIGroup","name":"kueue.x-k8s.io","preferredVersion":{"groupVersion":"kueue.x-k8s.io/v1beta2","version":"v1beta2"}}`
	workload := func(status string) string { return `{"items":[{"status":` + status + `}]}` }
	refused := func(code, reason string) string {
		return `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"` + reason + `","code":` + code + `}`
	}
	for _, tt := range []struct {
		name             string
		group, workloads string
		want             string
		fails            bool
	}{
		{name: "no Kueue", group: refused("404", "NotFound")},
		{name: "it may not be looked for", group: refused("403", "Forbidden")},
		{name: "the API server is in trouble", group: refused("500", "InternalError"), fails: true},
		{name: "workloads may not be listed", group: group, workloads: refused("403", "Forbidden")},
		{name: "workloads can't be listed now", group: group, workloads: refused("500", "InternalError"), fails: true},
		{name: "no sense in the answer", group: group, workloads: `[`, fails: true},
		{name: "no Workload", group: group, workloads: `{"items":[]}`},
		{name: "it hasn't looked yet", group: group, workloads: workload(`{}`)},
		{name: "no room", group: group, workloads: workload(`{"conditions":[{"type":"Admitted","status":"False","message":"no"},{"type":"QuotaReserved","status":"False","message":"no room for cpu\nin flavor x"}]}`), want: "Kueue: no room for cpu in flavor x"},
		{name: "a check", group: group, workloads: workload(`{"conditions":[{"type":"QuotaReserved","status":"True","message":"room"}],"admissionChecks":[{"name":"a","state":"Ready"},{"name":"b","state":"Pending","message":"nodes come"}]}`), want: "Kueue: admission check b is Pending: nodes come"},
		{name: "not admitted", group: group, workloads: workload(`{"conditions":[{"type":"QuotaReserved","status":"True"},{"type":"Admitted","status":"False","message":"wait"}]}`), want: "Kueue: wait"},
		{name: "admitted", group: group, workloads: workload(`{"conditions":[{"type":"QuotaReserved","status":"True"},{"type":"Admitted","status":"True","message":"go"}]}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body := ""
				switch {
				case r.URL.Path == "/apis/kueue.x-k8s.io":
					body = tt.group
				case r.URL.Path == "/apis/kueue.x-k8s.io/v1beta2/namespaces/ci/workloads" && r.URL.Query().Get("labelSelector") == "kueue.x-k8s.io/job-uid=u-1":
					body = tt.workloads
				}
				w.Header().Set("Content-Type", "application/json")
				var answer struct{ Code int }
				if json.Unmarshal([]byte(body), &answer) == nil && answer.Code != 0 {
					w.WriteHeader(answer.Code)
				}
				_, _ = w.Write([]byte(body))
			}))
			defer s.Close()
			client, err := kube.NewClient(&rest.Config{Host: s.URL})
			if err != nil {
				t.Fatal(err)
			}
			got, err := NewKueue(client).Says(t.Context(), "ci", "u-1")
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("it says %q, %v; want %q, error %v", got, err, tt.want, tt.fails)
			}
		})
	}
	if got, err := NewKueue(fake.NewClientset()).Says(t.Context(), "ci", "u-1"); got != "" || err != nil {
		t.Errorf("a fake says %q, %v", got, err)
	}
}
