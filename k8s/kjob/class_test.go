package kjob

import (
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
)

// classes are a queue's, in the place of its other keys.
const classes = `
  steps: pod
  tags: [os=linux]
  policy: {limits: {pod: {cpu: "8"}}, node-selectors: [pool=*], priority-classes: [own]}
  resource-classes:
    large:
      resource: {requests: {cpu: "4", memory: 6Gi}, limits: {memory: 8Gi}}
      podResource: {requests: {cpu: "6"}, limits: {cpu: "6"}}
      nodeSelector: {pool: big, disk: ssd}
      tolerations: [{key: big, operator: Exists}]
      affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: {matchExpressions: [{key: a, operator: Exists}]}}]}}
      priorityClassName: ci
      runtimeClassName: gvisor
    tools: {image: "tools:1", resource: {requests: {cpu: "2"}}}
    small: {resource: {requests: {cpu: 50m}}}
`

const classTemplate = `
spec:
  nodeSelector: {disk: hdd, zone: a}
  tolerations: [{key: ci, operator: Exists}]
  priorityClassName: normal
  containers: [{name: agent, resources: {requests: {cpu: "1", memory: 1Gi}, limits: {memory: 2Gi}}}]
`

// ofClass is the kjob of a job with a class, empty for none, and of a step.
func ofClass(t *testing.T, queue, class, image, plugin string) (*batchv1.Job, error) {
	t.Helper()
	if class == "" {
		return ofTemplate(t, classTemplate, queue, image, plugin)
	}
	return ofTemplate(t, classTemplate, queue, image, plugin, "resource_class="+class)
}

// ofTemplate is the kjob of a step in a queue with a template, and of a job with further rules.
func ofTemplate(t *testing.T, template, queue, image, plugin string, rules ...string) (*batchv1.Job, error) {
	t.Helper()
	tpl, err := Parse([]byte(template), aQueue(t, queue))
	if err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"BUILDKITE_COMMAND": "make", "BUILDKITE_IMAGE": image}
	if plugin != "" {
		js, err := yaml.YAMLToJSON([]byte(plugin))
		if err != nil {
			t.Fatal(err)
		}
		env["BUILDKITE_PLUGINS"] = fmt.Sprintf(`[{"kubernetes":%s}]`, js)
	}
	job := aJob()
	job.Rules = append([]string{"queue=default"}, rules...)
	return New(job, 1, tpl, env)
}

// Template, then class, then step: each says what the one before it doesn't have the last
// word about.
func TestClassOfEachKindOfStep(t *testing.T) {
	byDefault := classes + "  default-resource-class-name: small\n"
	for _, tt := range []struct{ name, queue, class, image, plugin, want string }{
		{"none", classes, "", "", "", "agent 1 1Gi/2Gi"},
		{"by default", byDefault, "", "", "", "agent 50m 1Gi/2Gi"},
		{"any will do", byDefault, "*", "", "", "agent 50m 1Gi/2Gi"},
		{"the tag before the default", byDefault, "tools", "node", "", "agent 20m 64Mi/2Gi, command node 2 1Gi/2Gi"},
		{"a plain step", classes, "large", "", "", "agent 4 6Gi/8Gi"},
		{"a plain step in the class's image", classes, "tools", "", "", "agent 20m 64Mi/2Gi, command tools:1 2 1Gi/2Gi"},
		{"an image", classes, "large", "node", "", "agent 0 64Mi/8Gi, command node 4 6Gi/8Gi"},
		{"a plugin", classes, "large", "", "{podSpec: {containers: [{image: x}]}}", "agent 0 64Mi/8Gi, command x 4 6Gi/8Gi"},
		{"a plugin without an image", classes, "tools", "", "null", "agent 20m 64Mi/2Gi, command tools:1 2 1Gi/2Gi"},
		{"a plugin's own image", classes, "tools", "", "{podSpec: {containers: [{image: x}]}}", "agent 20m 64Mi/2Gi, command x 2 1Gi/2Gi"},
		{"a step's own amounts", classes, "large", "", "{podSpec: {containers: [{image: x, resources: {requests: {cpu: '1'}, limits: {memory: 4Gi}}}]}}", "agent 0 64Mi/8Gi, command x 1 4Gi/4Gi"},
		{"by a patch", classes, "large", "", "{podSpecPatch: {containers: [{name: container-0, image: x, resources: {requests: {cpu: '1'}}}]}}", "agent 0 64Mi/8Gi, command x 1 6Gi/8Gi"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := ofClass(t, tt.queue, tt.class, tt.image, tt.plugin)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range k.Spec.Template.Spec.Containers {
				words := []string{c.Name}
				if c.Name != contract.AgentContainer {
					words = append(words, c.Image)
				}
				words = append(words, c.Resources.Requests.Cpu().String(), c.Resources.Requests.Memory().String()+"/"+c.Resources.Limits.Memory().String())
				got = append(got, strings.Join(words, " "))
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("got %s, want %s", strings.Join(got, ", "), tt.want)
			}
		})
	}
}

// A step may ask for the template's own image in a class that has another.
func TestTemplatesImageInAClass(t *testing.T) {
	tpl, err := Parse([]byte("spec: {containers: [{name: agent, image: 'agent:1'}]}"), aQueue(t, "  resource-classes: {tools: {image: 'tools:1'}}"))
	if err != nil {
		t.Fatal(err)
	}
	job := aJob()
	job.Rules = []string{"queue=default", "resource_class=tools"}
	k, err := New(job, 1, tpl, map[string]string{"BUILDKITE_COMMAND": "make", "BUILDKITE_IMAGE": "agent:1"})
	if err != nil {
		t.Fatal(err)
	}
	if pod := &k.Spec.Template.Spec; len(pod.Containers) != 1 || env(FindAgent(pod), contract.EnvImage) != "agent:1" {
		t.Errorf("%d containers, of image %s", len(pod.Containers), env(FindAgent(pod), contract.EnvImage))
	}
}

func TestClassOfThePod(t *testing.T) {
	k, err := ofClass(t, classes, "large", "", "{podSpec: {nodeSelector: {pool: own}, priorityClassName: own, containers: [{image: x}]}}")
	if err != nil {
		t.Fatal(err)
	}
	pod := k.Spec.Template.Spec
	var keys []string
	for _, toleration := range pod.Tolerations {
		keys = append(keys, toleration.Key)
	}
	for _, tt := range []struct {
		what      string
		got, want any
	}{
		{"node selector", pod.NodeSelector, map[string]string{"pool": "own", "disk": "ssd", "zone": "a"}},
		{"tolerations", keys, []string{"ci", "big"}},
		{"priority class", pod.PriorityClassName, "own"},
		{"runtime class", *pod.RuntimeClassName, "gvisor"},
		{"affinity", pod.Affinity.NodeAffinity != nil, true},
		{"the pod as a whole", pod.Resources.Requests.Cpu().String() + pod.Resources.Limits.Cpu().String(), "66"},
		{"the runner's tags", env(FindAgent(&pod), contract.EnvTags), "queue=default,os=linux,resource_class=large"},
		{"for the next attempt", JobOf(k).Rules, []string{"resource_class=large"}},
	} {
		if fmt.Sprint(tt.got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.what, tt.got, tt.want)
		}
	}
	if k, err = ofClass(t, classes, "large", "", ""); err != nil || k.Spec.Template.Spec.PriorityClassName != "ci" || k.Spec.Template.Spec.NodeSelector["pool"] != "big" {
		t.Errorf("a plain step: %v, %v", k, err)
	}
	if k, err = ofClass(t, classes, "", "", ""); err != nil || env(FindAgent(&k.Spec.Template.Spec), contract.EnvTags) != "queue=default,os=linux" || len(JobOf(k).Rules) > 0 {
		t.Errorf("without a class: %v, %v", k, err)
	}
}

// The policy is about what a step says: a class may have more than it allows, and what a
// step adds to that may not.
func TestClassAndPolicy(t *testing.T) {
	const huge = classes + "    huge: {resource: {requests: {cpu: '16'}}, image: 'secret.example/tools:1', priorityClassName: high}\n"
	queue := strings.Replace(huge, "policy: {", "policy: {images: ['docker.io/**'], ", 1)
	for _, tt := range []struct{ name, class, plugin, want string }{
		{"the class alone", "huge", "{podSpec: {containers: [{name: test}]}}", ""},
		{"what comes to it", "huge", "{sidecars: [{image: db, resources: {requests: {cpu: '1'}}}]}", "containers.resources.requests.cpu: 17 in all is more than a pod of this queue may have, 8"},
		{"less than the class", "huge", "{podSpec: {containers: [{resources: {requests: {cpu: '7'}}}]}, sidecars: [{image: db, resources: {requests: {cpu: '1'}}}]}", ""},
		{"within the sum", "large", "{sidecars: [{image: db, resources: {requests: {cpu: '4'}}}]}", ""},
		{"beyond it", "large", "{sidecars: [{image: db, resources: {requests: {cpu: '5'}}}]}", "9 in all"},
		{"within the class's limit", "large", "{podSpec: {containers: [{image: x, resources: {limits: {memory: 7Gi}}}]}}", ""},
		{"the template's, in each further container", "", "{podSpec: {containers: [" + strings.Repeat("{image: x}, ", 9) + "{image: x, resources: {requests: {cpu: 500m}}}]}}", "8500m in all"},
		{"within the sum", "", "{podSpec: {containers: [" + strings.Repeat("{image: x}, ", 9) + "]}}", ""},
		{"of the class, too", "large", "{podSpec: {containers: [{image: x}, {image: x}, {image: x}]}}", "12 in all"},
		{"beyond the template's, without the class", "", "{podSpec: {containers: [{image: x, resources: {limits: {memory: 7Gi}}}]}}", "7Gi is more than a container of this queue may have, 2Gi"},
		{"a step's own image", "huge", "{podSpec: {containers: [{image: quay.io/a/b}]}}", `the image "quay.io/a/b:latest" is not one`},
		{"one that the queue lacks", "enormous", "{}", `resource_class: there is no class "enormous"; this queue has huge, large, small, tools`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ofClass(t, queue, tt.class, "", tt.plugin)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

// A class is checked as the template is.
func TestClassFaults(t *testing.T) {
	for class, want := range map[string]string{
		"{image: Upper}":                                                             `resource-classes.bad: image: "Upper" is not an image name`,
		"{resource: {requests: {cpu: '-1'}}}":                                        "resource-classes.bad: ",
		"{tolerations: [{key: a, operator: Near}]}":                                  "resource-classes.bad: ",
		"{nodeSelector: {pool: '{{env.POOL}}'}}":                                     "",
		"{runtimeClassName: '{{env.RUNTIME}}'}":                                      "could take the agent token",
		"{resource: {requests: {cpu: '3'}, limits: {cpu: 3}}}":                       "",
		"{podResource: {requests: {cpu: 50m, memory: 64Mi}, limits: {memory: 1Gi}}}": "",
	} {
		tpl, err := Parse(nil, aQueue(t, "  resource-classes: {bad: "+class+"}"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", class, err, want)
		}
		if err == nil && strings.Contains(class, "env.") && !tpl.classes["bad"].NeedsEnv() {
			t.Errorf("%s: its variable is not filled", class)
		}
	}
}

// A tag of the queue's that is no class is a tag, as without classes.
func TestTagsBesideClasses(t *testing.T) {
	for _, queue := range []string{"  tags: [resource_class=big]", "  tags: [resource_class=big]\n  resource-classes: {small: {}}"} {
		q := aQueue(t, queue)
		tpl, err := Parse(nil, q)
		if err != nil {
			t.Fatal(err)
		}
		of, err := tpl.For([]string{"resource_class=big"})
		if err != nil || of != tpl {
			t.Errorf("%s: %v", queue, err)
		}
		if text := config.Unmatched([]string{"resource_class=huge"}, q, []config.Queue{q}); !strings.Contains(text, "lacks the tag resource_class=huge, and offers resource_class=big") {
			t.Errorf("%s: %s", queue, text)
		}
	}
}

func TestUserNamespace(t *testing.T) {
	q := aQueue(t, "  user-namespace: true\n  steps: pod\n  policy: {level: privileged, host: {network: true}}")
	tpl, err := Parse(nil, q)
	if err != nil {
		t.Fatal(err)
	}
	of := func(plugin string) (*corev1.PodSpec, error) {
		k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_PLUGINS": `[{"kubernetes":` + plugin + `}]`})
		if err != nil {
			return nil, err
		}
		return &k.Spec.Template.Spec, nil
	}
	for _, plugin := range []string{"null", `{"podSpec":{"containers":[{"image":"x"}],"hostUsers":false}}`} {
		if spec, err := of(plugin); err != nil || spec.HostUsers == nil || *spec.HostUsers {
			t.Errorf("%s: %+v, %v", plugin, spec, err)
		}
	}
	if _, err := of(`{"podSpec":{"hostNetwork":true}}`); err == nil || !strings.Contains(err.Error(), "hostNetwork: the pod has users of its own") {
		t.Errorf("got %v", err)
	}
	if NewPlaceholder(tpl, 1).Spec.Template.Spec.HostUsers == nil {
		t.Error("a placeholder is another pod than the jobs'")
	}
	if _, err := Parse([]byte("spec: {hostUsers: true}"), q); err == nil || !strings.Contains(err.Error(), "spec.template.spec.hostUsers: true, and the queue has user-namespace: true") {
		t.Errorf("got %v", err)
	}
	if tpl, err = Parse([]byte("spec: {nodeSelector: {a: '{{env.A}}'}}"), q); err != nil {
		t.Fatal(err)
	}
	if k, err := New(aJob(), 1, tpl, map[string]string{"A": "b"}); err != nil || k.Spec.Template.Spec.HostUsers == nil {
		t.Errorf("with a variable: %+v, %v", k, err)
	}
}
