package kjob

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
)

// asStored is a PodTemplate as the API server has it, with its defaults.
func asStored(t *testing.T, spec string) *corev1.PodTemplate {
	t.Helper()
	p := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: "node", Namespace: "onejob"}}
	const defaults = `{restartPolicy: Always, dnsPolicy: ClusterFirst, schedulerName: default-scheduler, terminationGracePeriodSeconds: 30, securityContext: {}}`
	for _, doc := range []string{defaults, spec} {
		if err := yaml.Unmarshal([]byte(doc), &p.Template.Spec); err != nil {
			t.Fatal(err)
		}
	}
	for i := range p.Template.Spec.Containers {
		c := &p.Template.Spec.Containers[i]
		c.TerminationMessagePath, c.TerminationMessagePolicy, c.ImagePullPolicy = corev1.TerminationMessagePathDefault, corev1.TerminationMessageReadFile, corev1.PullIfNotPresent
	}
	return p
}

// TestPodTemplate: a step's pod is the PodTemplate that it names, if its queue's policy
// allows the name, with what the step changes of it held against the policy.
func TestPodTemplate(t *testing.T) {
	const whole = `{serviceAccountName: builder, serviceAccount: builder, containers: [{name: test, image: "node:22", command: [npm test], env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: db, key: p}}}]}], nodeSelector: {pool: a}}`
	for _, tt := range []struct{ name, policy, template, plugin, want, fault string }{
		{"is the pod", "pod-templates: [node*]", whole, "{podTemplate: node}", `command node:22 "npm test" pool=a builder node`, ""},
		{"with a patch", "pod-templates: [node]", whole, "{podTemplate: node, podSpecPatch: {containers: [{name: test, image: 'node:23'}]}}", `command node:23 "npm test" pool=a builder node`, ""},
		{"beside a podSpec it is none", "", whole, "{podTemplate: node, podSpec: {containers: [{image: x}]}}", `command x "" pool= default `, ""},
		{"not of the list", "pod-templates: [java]", whole, "{podTemplate: node}", "", `kubernetes.podTemplate: the PodTemplate "node" is not one that this queue's steps may use, which are java`},
		{"a patch beyond the policy", "pod-templates: [node]", whole, "{podTemplate: node, podSpecPatch: {containers: [{name: test, securityContext: {privileged: true}}]}}", "", "containers[test].securityContext.privileged: "},
		{"the token's Secret in it", "pod-templates: [node]", "{containers: [{name: test, image: x, envFrom: [{secretRef: {name: onejob-agent-token}}]}]}", "{podTemplate: node}", "", "the Secret onejob-agent-token has the agent token in it"},
		{"what is the queue's to say", "pod-templates: [node]", "{hostAliases: [{ip: 10.0.0.1, hostnames: [a]}], containers: [{name: test, image: x}]}", "{podTemplate: node}", "", "kubernetes.podTemplate: the PodTemplate node sets hostAliases, which is the queue's to say of its pods"},
		{"a name of ours in it", "pod-templates: [node]", "{containers: [{name: agent, image: x}]}", "{podTemplate: node}", "", "the name agent is kept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tpl, err := Parse(nil, aQueue(t, "  steps: pod\n  policy: {"+tt.policy+"}"))
			if err != nil {
				t.Fatal(err)
			}
			js, err := yaml.YAMLToJSON([]byte(tt.plugin))
			if err != nil {
				t.Fatal(err)
			}
			stored := asStored(t, tt.template)
			stored.Namespace = tpl.Namespace
			client := fake.NewClientset(stored)
			k, err := NewIn(t.Context(), client, aJob(), 1, tpl, map[string]string{"BUILDKITE_COMMAND": "make", "BUILDKITE_PLUGINS": fmt.Sprintf(`[{"kubernetes":%s}]`, js)})
			if tt.fault != "" {
				if k != nil || err == nil || !strings.Contains(err.Error(), tt.fault) {
					t.Errorf("got %v, want %s", err, tt.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			pod := k.Spec.Template.Spec
			c := pod.Containers[1]
			account := pod.ServiceAccountName
			if account == "" {
				account = "default"
			}
			got := fmt.Sprintf("%s %s %q pool=%s %s %s", c.Name, c.Image, env(&c, "BUILDKITE_COMMAND"), pod.NodeSelector["pool"], account, k.Annotations[contract.AnnotationPodTemplate])
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// Without a cluster nobody knows what is in it, and there is none by a name that isn't there.
func TestPodTemplateIsNeeded(t *testing.T) {
	tpl, err := Parse(nil, aQueue(t, "  steps: pod\n  policy: {pod-templates: ['*']}"))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BUILDKITE_PLUGINS": `[{"kubernetes":{"podTemplate":"node"}}]`}
	_, err = New(aJob(), 1, tpl, env)
	var needs *NeedsPodTemplate
	if !errors.As(err, &needs) || needs.Name != "node" {
		t.Errorf("got %v", err)
	}
	if _, err := NewIn(t.Context(), fake.NewClientset(), aJob(), 1, tpl, env); err == nil || !strings.Contains(err.Error(), "reading the PodTemplate that the step names (kubernetes.podTemplate): podtemplates \"node\" not found") {
		t.Errorf("got %v", err)
	}
}

// A class changes nothing about the PodTemplate that a step names.
func TestPodTemplateInAClass(t *testing.T) {
	tpl, err := Parse(nil, aQueue(t, "  steps: pod\n  policy: {pod-templates: [node]}\n  resource-classes: {big: {resource: {requests: {cpu: '2'}}}}"))
	if err != nil {
		t.Fatal(err)
	}
	stored := asStored(t, `{containers: [{name: test, image: "node:22"}]}`)
	stored.Namespace = tpl.Namespace
	job := aJob()
	job.Rules = []string{"queue=default", "resource_class=big"}
	k, err := NewIn(t.Context(), fake.NewClientset(stored), job, 1, tpl, map[string]string{"BUILDKITE_COMMAND": "make", "BUILDKITE_PLUGINS": `[{"kubernetes":{"podTemplate":"node"}}]`})
	if err != nil {
		t.Fatal(err)
	}
	if c := k.Spec.Template.Spec.Containers[1]; c.Image != "node:22" || c.Resources.Requests.Cpu().String() != "2" {
		t.Errorf("got %s with %v", c.Image, c.Resources)
	}
}
