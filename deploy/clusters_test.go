package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/kjob"
)

// variant is a folder of clusters/: base, patched, and the queues' templates.
type variant struct {
	deployment appsv1.Deployment
	policy     networkingv1.NetworkPolicy
	pods       map[string]*corev1.PodSpec // by queue
}

// aBase is base/ as it is.
func aBase(t *testing.T) variant {
	t.Helper()
	v := variant{deployment: read[appsv1.Deployment](t, "base/deployment.yaml")[0], pods: map[string]*corev1.PodSpec{}}
	for _, p := range read[networkingv1.NetworkPolicy](t, "base/networkpolicy.yaml") {
		if p.Name == "onejob" {
			v.policy = p
		}
	}
	return v
}

// aVariant reads one as kubectl apply -k would, as far as these folders go.
func aVariant(t *testing.T, dir string) variant {
	t.Helper()
	var k struct {
		APIVersion, Kind, Namespace string
		Resources                   []string
		ConfigMapGenerator          []struct {
			Name, Behavior string
			Files          []string
		}
		GeneratorOptions struct{ DisableNameSuffixHash bool }
		Patches          []struct{ Path string }
	}
	b, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err == nil {
		err = yaml.UnmarshalStrict(b, &k)
	}
	if err != nil || !slices.Equal(k.Resources, []string{"../../base"}) || k.Namespace != "onejob" {
		t.Fatalf("the kustomization is %+v, %v", k, err)
	}
	used := []string{"kustomization.yaml"}
	v := aBase(t)
	for _, p := range k.Patches {
		used = append(used, p.Path)
		patch(t, filepath.Join(dir, p.Path), &v)
	}
	for _, g := range k.ConfigMapGenerator {
		if g.Name != "onejob" || g.Behavior != "replace" || !slices.Equal(g.Files, []string{"onejob.yaml"}) || !k.GeneratorOptions.DisableNameSuffixHash {
			t.Errorf("the ConfigMap isn't base's: %+v", g)
		}
		used = append(used, g.Files...)
		for _, q := range named(t, filepath.Join(dir, "onejob.yaml")).Queues {
			tpl, err := kjob.Load(t.Context(), nil, q)
			if err != nil {
				t.Fatalf("queue %s: %v", q.Name, err)
			}
			v.pods[q.Name] = &tpl.Job.Spec.Template.Spec
		}
	}
	files, _ := os.ReadDir(dir)
	for _, f := range files {
		if !slices.Contains(used, f.Name()) {
			t.Errorf("%s isn't used", f.Name())
		}
	}
	return v
}

// patch merges one strategically into what it is for.
func patch(t *testing.T, path string, v *variant) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := yaml.YAMLToJSONStrict(b)
	if err != nil {
		t.Fatal(err)
	}
	var of struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if err := json.Unmarshal(doc, &of); err != nil {
		t.Fatal(err)
	}
	switch of.Kind {
	case "Deployment":
		v.deployment = merged(t, v.deployment, doc)
	case "NetworkPolicy":
		v.policy = merged(t, v.policy, doc)
	default:
		t.Errorf("%s: a patch of a %s", path, of.Kind)
	}
	if of.Metadata.Name != "onejob" {
		t.Errorf("%s: a patch of %s", path, of.Metadata.Name)
	}
}

func merged[T any](t *testing.T, was T, patch []byte) (is T) {
	t.Helper()
	doc, err := json.Marshal(was)
	if err == nil {
		doc, err = strategicpatch.StrategicMergePatch(doc, patch, was)
	}
	if err == nil {
		err = yaml.UnmarshalStrict(doc, &is)
	}
	if err != nil {
		t.Fatal(err)
	}
	return is
}

func (v variant) lets(port string) bool {
	for _, p := range v.policy.Spec.Egress[0].Ports {
		if string(*p.Protocol)+" "+p.Port.String() == port {
			return true
		}
	}
	return false
}

// TestClusters: each folder is base and no more than its README says.
func TestClusters(t *testing.T) {
	readme, err := os.ReadFile("clusters/README.md")
	if err != nil {
		t.Fatal(err)
	}
	checks := map[string]func(t *testing.T, v variant){
		"openshift": func(t *testing.T, v variant) {
			for name, s := range map[string]*corev1.PodSecurityContext{"the scheduler": v.deployment.Spec.Template.Spec.SecurityContext, "a job": v.pods["default"].SecurityContext} {
				if s.RunAsUser != nil || s.RunAsGroup != nil || s.FSGroup != nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot {
					t.Errorf("%s has %+v", name, s)
				}
			}
			if !v.lets("UDP 5353") || !v.lets("TCP 5353") {
				t.Error("DNS isn't let through")
			}
		},
		"gke-autopilot": func(t *testing.T, v variant) {
			pod := v.pods["default"]
			most, sum := resource.MustParse("10Gi"), resource.Quantity{}
			for _, volume := range pod.Volumes {
				sum.Add(*volume.EmptyDir.SizeLimit)
			}
			r := kjob.FindAgent(pod).Resources
			for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
				request, limit := r.Requests[name], r.Limits[name]
				if request.Cmp(limit) != 0 || name == corev1.ResourceEphemeralStorage && (limit.Cmp(most) > 0 || sum.Cmp(limit) > 0) {
					t.Errorf("%s: a request of %s, a limit of %s, volumes of %s together", name, &request, &limit, &sum)
				}
			}
			own := v.deployment.Spec.Template.Spec.Containers[0].Resources
			if own.Requests.Memory().Cmp(*own.Limits.Memory()) != 0 {
				t.Errorf("the scheduler has %+v", own)
			}
		},
		"arm64": func(t *testing.T, v variant) {
			if v.pods["default"].NodeSelector[corev1.LabelArchStable] != "amd64" || v.pods["arm64"].NodeSelector[corev1.LabelArchStable] != "arm64" {
				t.Errorf("the selectors are %v and %v", v.pods["default"].NodeSelector, v.pods["arm64"].NodeSelector)
			}
		},
		"microk8s": func(t *testing.T, v variant) {
			if !v.lets("TCP 16443") {
				t.Error("the API server isn't reached")
			}
		},
		"minikube": func(t *testing.T, v variant) {
			if !v.lets("TCP 8443") {
				t.Error("the API server isn't reached")
			}
		},
	}
	dirs, err := filepath.Glob("clusters/*/kustomization.yaml")
	if err != nil || len(dirs) != len(checks) {
		t.Fatalf("%d folders, want %d: %v", len(dirs), len(checks), err)
	}
	base := aBase(t)
	for _, path := range dirs {
		dir := filepath.Dir(path)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			if !strings.Contains(string(readme), "`"+filepath.Base(dir)+"`") {
				t.Error("the README doesn't name it")
			}
			v := aVariant(t, dir)
			checks[filepath.Base(dir)](t, v)
			// A list is replaced by a patch of this kind: nothing of base is lost.
			for _, p := range base.policy.Spec.Egress[0].Ports {
				if port := string(*p.Protocol) + " " + p.Port.String(); !v.lets(port) {
					t.Errorf("%s of base isn't let through", port)
				}
			}
			if got, want := len(v.deployment.Spec.Template.Spec.Containers[0].VolumeMounts), len(base.deployment.Spec.Template.Spec.Containers[0].VolumeMounts); got != want || len(v.policy.Spec.Ingress) != len(base.policy.Spec.Ingress) {
				t.Errorf("the scheduler has %d mounts, want %d", got, want)
			}
		})
	}
}
