package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// foreigners are the folders of deploy/clusters with a template of their own. Each
// has a queue and a namespace that are called so.
var foreigners = []string{"openshift", "gke-autopilot", "arm64"}

// foreignQueues are their queues as they are shipped, but for the image and the TTL.
func foreignQueues() (string, error) {
	var queues []map[string]any
	for _, name := range foreigners {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "clusters", name, "onejob.yaml"))
		if err != nil {
			return "", err
		}
		var shipped struct{ Queues []map[string]any }
		if err := yaml.Unmarshal(b, &shipped); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		q := shipped.Queues[len(shipped.Queues)-1]
		pod := q["template"].(map[string]any)["inline"].(map[string]any)
		spec := pod["spec"].(map[string]any)
		agent := map[string]any{"name": "agent"}
		if containers, ok := spec["containers"].([]any); ok {
			agent = containers[0].(map[string]any)
		}
		agent["image"], agent["imagePullPolicy"] = "localhost/onejob-agent:dev", "Never"
		spec["containers"] = []any{agent}
		q["name"], q["namespace"] = name, name
		q["template"] = map[string]any{"inline": map[string]any{
			"apiVersion": "batch/v1", "kind": "Job", "spec": map[string]any{"ttlSecondsAfterFinished": 20, "template": pod},
		}}
		queues = append(queues, q)
	}
	b, err := yaml.Marshal(queues)
	return string(b), err
}

// TestClusters: a job of the template that is shipped for a cluster runs where a
// policy does what that cluster does. A pod of the default template doesn't.
func TestClusters(t *testing.T) {
	for _, tt := range []struct {
		name string
		// imitate makes the cluster like that one, and undo puts it back.
		imitate func(t *testing.T) (undo func())
		refuses string // what it says of the default template's pod
		command string
	}{
		{"openshift", likeOpenShift, "must be in the ranges", `id; test "$(id -u)" = 1000710000 && touch ~/x /builds/x /tmp/x && git init -q /builds/r && git -C /builds/r -c user.name=a -c user.email=b commit -q --allow-empty -m x && ssh -G x.test | grep -q identityfile && echo all-there`},
		{"gke-autopilot", likeAutopilot, "maximum ephemeral-storage usage per Container is 10Gi, but limit is 32Gi", "touch ~/x /builds/x && echo all-there"},
		{"arm64", likeARM, "", "echo all-there"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			defer tt.imitate(t)()
			if tt.refuses != "" {
				refuses(t, ctx, tt.name, tt.refuses)
			}
			sim := on.Simulator
			build := create(t, simulator.BuildRequest{Queue: tt.name}, map[string]any{"command": tt.command, "env": noCheckout()})
			if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
				t.Fatalf("%v\n%s", err, table())
			}
			job, _ := sim.Job(build.JobIDs[0])
			if log, _ := sim.Log(job.ID); job.ExitStatus != "0" || !strings.Contains(string(log), "all-there") {
				t.Errorf("the job ended with %q %+v; its log:\n%s", job.ExitStatus, job.StackFinish, log)
			}
		})
	}
}

// refuses waits until a pod of the default template is refused, with those words.
func refuses(t *testing.T, ctx context.Context, namespace, words string) {
	t.Helper()
	conf, err := config.Parse([]byte("queues: [{name: default}]"), namespace)
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := kjob.Parse(nil, conf.Queues[0])
	if err != nil {
		t.Fatal(err)
	}
	k, err := kjob.New(stacks.Job{ID: "018f0000-0000-7000-8000-00000000000a"}, 1, tpl, nil)
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "probe"}, Spec: k.Spec.Template.Spec}
	for {
		_, err := on.Cluster.Client().CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), words) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("a pod of the default template is not refused: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// likeOpenShift is the SCC restricted-v2: a pod that names no user gets one, and one
// that names another than the namespace's is refused.
func likeOpenShift(t *testing.T) func() {
	const name = "openshift"
	api, meta, fail := on.Cluster.Client().AdmissionregistrationV1(), metav1.ObjectMeta{Name: name}, admissionv1.Fail
	pods := &admissionv1.MatchResources{
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: name}},
		ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create}, Rule: admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
		}}},
	}
	_, err := api.MutatingAdmissionPolicies().Create(t.Context(), &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: admissionv1.NeverReinvocationPolicy, MatchConstraints: pods,
			MatchConditions: []admissionv1.MatchCondition{{Name: "no-user", Expression: "!has(object.spec.securityContext.runAsUser) && !has(object.spec.securityContext.fsGroup)"}},
			Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: `[
				JSONPatch{op: "add", path: "/spec/securityContext/fsGroup", value: 1000710000},
				JSONPatch{op: "add", path: "/spec/containers/0/securityContext/runAsUser", value: 1000710000}]`}}},
		},
	}, metav1.CreateOptions{})
	succeed(t, err)
	_, err = api.MutatingAdmissionPolicyBindings().Create(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name},
	}, metav1.CreateOptions{})
	succeed(t, err)
	_, err = api.ValidatingAdmissionPolicies().Create(t.Context(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: &fail, MatchConstraints: pods,
			Validations: []admissionv1.Validation{
				{Expression: "!has(object.spec.securityContext.runAsUser) && object.spec.containers.all(c, has(c.securityContext.runAsUser) && c.securityContext.runAsUser == 1000710000)", Message: "runAsUser: must be in the ranges: [1000710000, 1000719999]"},
				{Expression: "has(object.spec.securityContext.fsGroup) && object.spec.securityContext.fsGroup == 1000710000", Message: "fsGroup: is not an allowed group"},
			},
		},
	}, metav1.CreateOptions{})
	succeed(t, err)
	_, err = api.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{})
	succeed(t, err)
	return func() {} // the namespace is nobody else's
}

// likeAutopilot: no more than 10 GiB of ephemeral storage, and no limit above its
// request. (Autopilot lowers such a limit; then the job is killed.)
func likeAutopilot(t *testing.T) func() {
	most, one := resource.MustParse("10Gi"), resource.MustParse("1")
	_, err := on.Cluster.Client().CoreV1().LimitRanges("gke-autopilot").Create(t.Context(), &corev1.LimitRange{
		ObjectMeta: metav1.ObjectMeta{Name: "like-autopilot"},
		Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type:                 corev1.LimitTypeContainer,
			Max:                  corev1.ResourceList{corev1.ResourceEphemeralStorage: most},
			DefaultRequest:       corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Gi")},
			Default:              corev1.ResourceList{corev1.ResourceEphemeralStorage: resource.MustParse("1Gi")},
			MaxLimitRequestRatio: corev1.ResourceList{corev1.ResourceEphemeralStorage: one, corev1.ResourceMemory: one},
		}}},
	}, metav1.CreateOptions{})
	succeed(t, err)
	return func() {}
}

// likeARM has the node say that it is one of GKE's arm64 nodes.
func likeARM(t *testing.T) func() {
	nodes, name := on.Cluster.Client().CoreV1().Nodes(), on.Cluster.NodeNames[0]
	node, err := nodes.Get(t.Context(), name, metav1.GetOptions{})
	succeed(t, err)
	// A merge patch replaces the list of taints, which is what it is to the API server.
	change := func(ctx context.Context, arch string, taints []corev1.Taint) {
		list, err := json.Marshal(taints)
		succeed(t, err)
		_, err = nodes.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}},"spec":{"taints":%s}}`, corev1.LabelArchStable, arch, list), metav1.PatchOptions{})
		succeed(t, err)
	}
	change(t.Context(), "arm64", []corev1.Taint{{Key: "kubernetes.io/arch", Value: "arm64", Effect: corev1.TaintEffectNoSchedule}})
	return func() {
		change(context.WithoutCancel(t.Context()), node.Labels[corev1.LabelArchStable], node.Spec.Taints)
	}
}

func succeed(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
