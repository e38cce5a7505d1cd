package deploy

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// The scheduler's port is closed to jobs, whatever their template and their
// namespace, and open to who scrapes.
func TestNetworkPolicy(t *testing.T) {
	policies := map[string]networkingv1.NetworkPolicy{}
	for _, p := range read[networkingv1.NetworkPolicy](t, "base/networkpolicy.yaml") {
		policies[p.Name] = p
	}
	scheduler, jobs := policies["onejob"], policies["onejob-jobs"]
	job := jobLabels(t, "{metadata: {labels: {app.kubernetes.io/name: prometheus, team: a}}, spec: {}}")
	if !selects(t, &jobs.Spec.PodSelector, job) || len(jobs.Spec.Ingress) > 0 || len(jobs.Spec.PolicyTypes) != 1 {
		t.Errorf("a job's pod, %v, isn't closed by %+v", job, jobs.Spec)
	}
	deployment := read[appsv1.Deployment](t, "base/deployment.yaml")[0]
	if !selects(t, &scheduler.Spec.PodSelector, deployment.Spec.Template.Labels) {
		t.Errorf("the scheduler's pod isn't closed by %+v", scheduler.Spec)
	}
	prometheus := map[string]string{"app.kubernetes.io/name": "prometheus"}
	for _, tt := range []struct {
		name, namespace string
		labels          map[string]string
		want            bool
	}{
		{"a job", "onejob", job, false},
		{"a job of a queue elsewhere", "ci", job, false},
		{"a job where Prometheus is", "monitoring", job, false},
		{"anybody's pod elsewhere", "tenant", nil, false},
		{"Prometheus", "monitoring", prometheus, true},
		{"one without labels where Prometheus is", "monitoring", nil, true},
		{"Prometheus beside the scheduler", "onejob", prometheus, true},
	} {
		got := false
		for _, rule := range scheduler.Spec.Ingress {
			if len(rule.From) == 0 {
				got = true // everybody
			}
			for _, peer := range rule.From {
				if peer.IPBlock != nil {
					t.Fatalf("%+v: addresses may be those of jobs", peer)
				}
				ns := tt.namespace == "onejob"
				if peer.NamespaceSelector != nil {
					ns = selects(t, peer.NamespaceSelector, map[string]string{"kubernetes.io/metadata.name": tt.namespace})
				}
				got = got || ns && (peer.PodSelector == nil || selects(t, peer.PodSelector, tt.labels))
			}
		}
		if got != tt.want {
			t.Errorf("%s is let in: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func jobLabels(t *testing.T, template string) map[string]string {
	t.Helper()
	c, err := config.Parse([]byte("queues: [{name: q}]"), "builds")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := kjob.Parse([]byte(template), c.Queues[0])
	if err != nil {
		t.Fatal(err)
	}
	k, err := kjob.New(stacks.Job{ID: contract.SampleJobID}, 1, parsed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k.Spec.Template.Labels
}

func selects(t *testing.T, s *metav1.LabelSelector, of map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(of))
}
