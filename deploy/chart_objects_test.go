package deploy

import (
	"fmt"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// monitor is what the chart uses of a PodMonitor, ServiceMonitor or PrometheusRule.
type monitor struct {
	metav1.TypeMeta
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector            metav1.LabelSelector `json:"selector"`
		PodMetricsEndpoints []endpoint           `json:"podMetricsEndpoints,omitempty"`
		Endpoints           []endpoint           `json:"endpoints,omitempty"`
		Groups              []ruleGroup          `json:"groups,omitempty"`
	} `json:"spec"`
}

type endpoint struct {
	Port, Path, Interval, ScrapeTimeout string
	Relabelings, MetricRelabelings      []map[string]any
}

// objectsOf decodes all that is rendered, strictly: a field that Kubernetes doesn't
// know, or one that is given twice, is an error.
func objectsOf(t *testing.T, rendered string) (out []metav1.Object) {
	t.Helper()
	strict := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	for template, docs := range documents(rendered) {
		for _, doc := range docs {
			var kind metav1.TypeMeta
			if err := yaml.Unmarshal([]byte(doc), &kind); err != nil {
				t.Errorf("%s: %v\n%s", template, err, doc)
				continue
			}
			if strings.HasPrefix(kind.APIVersion, "monitoring.coreos.com/") {
				var m monitor
				if err := yaml.UnmarshalStrict([]byte(doc), &m); err != nil {
					t.Errorf("%s: %v\n%s", template, err, doc)
				}
				out = append(out, &m)
				continue
			}
			o, _, err := strict.Decode([]byte(doc), nil, nil)
			if err != nil {
				t.Errorf("%s: %v\n%s", template, err, doc)
				continue
			}
			out = append(out, o.(metav1.Object))
		}
	}
	return out
}

func kindOf(o metav1.Object) string {
	if m, ok := o.(*monitor); ok {
		return m.Kind
	}
	return o.(runtime.Object).GetObjectKind().GroupVersionKind().Kind
}

// Every object of every value set is one that Kubernetes knows, to the last field, has
// the labels of onejob and a namespace, and is there once.
func TestChartObjects(t *testing.T) {
	for _, set := range append(valueSets, "base") {
		seen := map[string]bool{}
		for _, o := range objectsOf(t, mustRender(t, set)) {
			id := fmt.Sprintf("%s %s/%s", kindOf(o), o.GetNamespace(), o.GetName())
			if seen[id] {
				t.Errorf("%s: %s is rendered twice", set, id)
			}
			seen[id] = true
			if o.GetLabels()["team"] == "" && set == "everything" {
				t.Errorf("%s: %s hasn't the common labels", set, id)
			}
			if o.GetAnnotations()["example.com/owner"] == "" && set == "everything" && o.GetName() != "extra" {
				t.Errorf("%s: %s hasn't the common annotations", set, id)
			}
			clusterWide := kindOf(o) == "Namespace" || kindOf(o) == "PriorityClass"
			if clusterWide == (o.GetNamespace() != "") {
				t.Errorf("%s: %s is in the wrong namespace", set, id)
			}
		}
		if len(seen) < 4 {
			t.Errorf("%s: only %d objects", set, len(seen))
		}
	}
}

// All pods of all value sets pass the restricted Pod Security Standard: the chart's own,
// and those that the scheduler makes of the rendered configuration.
func TestChartPodSecurity(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range append(valueSets, "base") {
		rendered := mustRender(t, set)
		pods := 0
		for _, o := range objectsOf(t, rendered) {
			var meta *metav1.ObjectMeta
			var spec *corev1.PodSpec
			switch o := o.(type) {
			case *appsv1.Deployment:
				meta, spec = &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
			case *batchv1.Job:
				meta, spec = &o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec
			case *corev1.Pod:
				meta, spec = &o.ObjectMeta, &o.Spec
			default:
				continue
			}
			pods++
			result := policy.AggregateCheckResults(evaluator.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, meta, spec))
			if !result.Allowed {
				t.Errorf("%s: %s %s: %s", set, kindOf(o), o.GetName(), result.ForbiddenDetail())
			}
		}
		if pods == 0 {
			t.Errorf("%s has no pods", set)
		}
		for _, q := range parsed(t, configOf(t, rendered)).Queues {
			template, err := queueTemplate(q)
			if err == nil {
				err = template.PodSecurity("restricted")
			}
			if err != nil {
				t.Errorf("%s: %v", set, err)
			}
		}
	}
}

// queueTemplate is a queue's, where it isn't in a file, which needs the ConfigMap.
func queueTemplate(q config.Queue) (*kjob.Template, error) {
	return kjob.Parse(q.Template.Inline, q)
}

// configOf is the onejob.yaml of a rendering.
func configOf(t *testing.T, rendered string) string {
	t.Helper()
	for _, o := range objectsOf(t, rendered) {
		if c, ok := o.(*corev1.ConfigMap); ok && c.Data["onejob.yaml"] != "" {
			return c.Data["onejob.yaml"]
		}
	}
	t.Fatal("no onejob.yaml is rendered")
	return ""
}

// parsed reads it as the scheduler does.
func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text), "onejob")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return c
}
