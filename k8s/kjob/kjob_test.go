package kjob

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/build"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/stacks"
)

const jobA = contract.SampleJobID

func aQueue(t testing.TB, extra string) config.Queue {
	t.Helper()
	c, err := config.Parse([]byte("queues:\n- name: default\n"+extra), "builds")
	if err != nil {
		t.Fatal(err)
	}
	return c.Queues[0]
}

func aTemplate(t *testing.T, doc string) *Template {
	t.Helper()
	tpl, err := Parse([]byte(doc), aQueue(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	tpl.Org = "acme"
	return tpl
}

func aJob() stacks.Job {
	return stacks.Job{ID: jobA, Priority: 3, Pipeline: "demo", Build: 7, Branch: "feature/ä-very-long-branch-name-that-no-label-of-kubernetes-could-ever-hold", Step: "test",
		ScheduledAt: time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)}
}

func TestNewJob(t *testing.T) {
	for _, tt := range []struct {
		name, queue, template string
		attempt               int
		env                   map[string]string
	}{
		{name: "default", attempt: 1},
		{name: "second-attempt", attempt: 2},
		{name: "drain", attempt: 1, queue: "  on-term: drain\n  tags: [os=linux, gpu=yes]\n  agent-endpoint: http://buildkite.local/v3\n  token-secret: {name: other, key: t}\n"},
		{name: "pod-template-spec", attempt: 1, template: `
metadata: {labels: {team: ci}}
spec:
  terminationGracePeriodSeconds: 120
  nodeSelector: {pool: ci}
  containers:
  - name: agent
    image: registry.local/agent:v1
    resources: {requests: {cpu: "2"}}
    env: [{name: BUILDKITE_GIT_CLONE_FLAGS, value: "--depth=1"}]
`},
		{name: "kueue-job", attempt: 1, template: `
apiVersion: batch/v1
kind: Job
metadata: {labels: {kueue.x-k8s.io/queue-name: ci}}
spec: {suspend: true, activeDeadlineSeconds: 60}
`},
		{name: "env", attempt: 1, queue: "  trusted-pipelines: true\n", env: map[string]string{"CI_IMAGE": "golang:1.26"}, template: `
spec: {containers: [{name: agent, image: "mirror.local/{{env.CI_IMAGE}}"}]}
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tpl, err := Parse([]byte(tt.template), aQueue(t, tt.queue))
			if err != nil {
				t.Fatal(err)
			}
			tpl.Org = "acme"
			k, err := New(aJob(), tt.attempt, tpl, tt.env)
			if err != nil {
				t.Fatal(err)
			}
			again, _ := New(aJob(), tt.attempt, tpl, tt.env)
			if diff := cmp.Diff(k, again); diff != "" {
				t.Errorf("the same job twice differs: %s", diff)
			}
			for k, v := range k.Labels {
				if msgs := validation.IsValidLabelValue(v); msgs != nil {
					t.Errorf("label %s=%s: %v", k, v, msgs)
				}
			}
			if diff := cmp.Diff(aJob(), JobOf(k)); diff != "" {
				t.Errorf("jobOf doesn't give the job back: %s", diff)
			}
			out, err := yaml.Marshal(k)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "kjob-"+tt.name+".yaml", out)
		})
	}
}

// The default template's image is of the scheduler's release.
func TestDefaultImage(t *testing.T) {
	defer func(v string) { build.Version = v }(build.Version)
	for version, want := range map[string]string{"": "ghcr.io/onejob-dev/onejob-agent:latest", "v1.2.3": "ghcr.io/onejob-dev/onejob-agent:v1.2.3"} {
		build.Version = version
		if got := aTemplate(t, "").Image(); got != want {
			t.Errorf("version %q: %s, want %s", version, got, want)
		}
	}
}

func TestNewJobRefusesEnv(t *testing.T) {
	tpl, err := Parse([]byte(`spec: {containers: [{name: agent, image: "{{env.CI_IMAGE}}"}]}`), aQueue(t, "  trusted-pipelines: true\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"", `x","securityContext":{"privileged":true},"a":"`, "a b", strings.Repeat("a", 300)} {
		if _, err := New(aJob(), 1, tpl, map[string]string{"CI_IMAGE": v}); err == nil {
			t.Errorf("CI_IMAGE=%q was taken", v)
		}
	}
	if _, err := New(aJob(), 1, tpl, nil); err == nil || !strings.Contains(err.Error(), "CI_IMAGE") {
		t.Errorf("no environment: %v", err)
	}
}

func TestParseTemplateNamesEveryFault(t *testing.T) {
	_, err := Parse([]byte(`
apiVersion: batch/v1
kind: Job
metadata: {labels: {onejob.dev/queue: mine}}
spec:
  backofLimit: 0
  backoffLimit: 6
  podFailurePolicy: {rules: []}
  managedBy: kueue.x-k8s.io/multikueue
  ttlSecondsAfterFinished: null
  template:
    spec:
      restartPolicy: OnFailure
      automountServiceAccountToken: true
      containers:
      - name: agent
        imagePullPolcy: Always
        env: [{name: BUILDKITE_CANCEL_GRACE_PERIOD, value: "600"}, {name: BUILDKITE_AGENT_TOKEN, value: secret}, {name: BUILDKITE_AGENT_QUEUE, value: mine}]
        terminationMessagePath: /tmp/message
        terminationMessagePolicy: FallbackToLogsOnError
        restartPolicy: Always
        volumeMounts: [{name: nowhere, mountPath: /x}]
      - {name: extra, image: busybox}
`), aQueue(t, ""))
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"backoffLimit", "podFailurePolicy", "ttlSecondsAfterFinished", "restartPolicy", "automountServiceAccountToken", "extra", "nowhere", "onejob.dev/queue",
		`unknown field "spec.backofLimit"`, `unknown field "spec.template.spec.containers[0].imagePullPolcy"`, "managedBy: kueue.x-k8s.io/multikueue",
		"scheduler sets BUILDKITE_AGENT_TOKEN", "scheduler sets BUILDKITE_AGENT_QUEUE", "terminationMessagePath: /tmp/message", "terminationMessagePolicy: must be File", "containers[agent]: restartPolicy and restartPolicyRules can't be set", "(10m0s)"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error says nothing of %s:\n%v", want, err)
		}
	}
	if regexp.MustCompile(`\bsecret\b`).MatchString(err.Error()) {
		t.Errorf("the error has a value in it: %v", err)
	}
	for _, doc := range []string{"spec: {template: {spec: {containerz: []}}}", "kind: Pod\napiVersion: v1", "- a", "a: [", "spec: {unknown: 1}"} {
		if _, err := Parse([]byte(doc), aQueue(t, "")); err == nil {
			t.Errorf("%q was taken", doc)
		}
	}
}

func TestLabelValue(t *testing.T) {
	seen := map[string]string{}
	for _, s := range []string{"a", "A.b_c-d", "_default", "__default__", "default", "-", "ü", "ä", strings.Repeat("x", 63), strings.Repeat("x", 64), strings.Repeat("x", 65), strings.Repeat("é", 40), "a b"} {
		v := LabelValue(s)
		if msgs := validation.IsValidLabelValue(v); msgs != nil || v == "" {
			t.Errorf("labelValue(%q) = %q: %v", s, v, msgs)
		}
		if other, ok := seen[v]; ok {
			t.Errorf("labelValue(%q) = labelValue(%q) = %q", s, other, v)
		}
		seen[v] = s
	}
}

func FuzzLabelValue(f *testing.F) {
	f.Add("a/b")
	f.Fuzz(func(t *testing.T, s string) {
		if msgs := validation.IsValidLabelValue(LabelValue(s)); msgs != nil {
			t.Errorf("labelValue(%q) = %q: %v", s, LabelValue(s), msgs)
		}
	})
}

// No name and no text of a pipeline changes the pod.
func FuzzPipelineCannotChangeItsPod(f *testing.F) {
	f.Add("demo", "main", "test")
	f.Add("x\nspec:\n  hostNetwork: true\n", "\"}},\"spec\":{\"hostPID\":true", "onejob.dev/queue")
	f.Add("{{env.PATH}}", strings.Repeat("ä", 300_000), "\xff\x00")
	q, err := config.Parse([]byte("queues: [{name: default}]"), "builds")
	if err != nil {
		f.Fatal(err)
	}
	tpl, err := Parse(nil, q.Queues[0])
	if err != nil {
		f.Fatal(err)
	}
	plain, err := New(aJob(), 1, tpl, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, pipeline, branch, step string) {
		job := aJob()
		job.Pipeline, job.Branch, job.Step = pipeline, branch, step
		k, err := New(job, 1, tpl, map[string]string{"PATH": branch})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plain.Spec.Template.Spec, k.Spec.Template.Spec); diff != "" {
			t.Errorf("the pod differs: %s", diff)
		}
		size := 0
		for key, v := range k.Annotations {
			size += len(key) + len(v)
		}
		if size > 16<<10 {
			t.Errorf("%d bytes of annotations", size)
		}
		for key, v := range k.Labels {
			if msgs := append(validation.IsValidLabelValue(v), validation.IsQualifiedName(key)...); msgs != nil {
				t.Errorf("label %s=%q: %v", key, v, msgs)
			}
		}
	})
}

// TestPodHonoursImage: a pod with one container tells its runner which `image:` the pod
// honours.
func TestPodHonoursImage(t *testing.T) {
	for _, tt := range []struct{ name, image, asked, want string }{
		{"the pod's own", "registry.local/agent:v1", "node:22", "registry.local/agent:v1"},
		{"the step's", "{{env.BUILDKITE_IMAGE}}", "node:22", "node:22"},
		{"the step's, from a mirror", "mirror.local/{{env.BUILDKITE_IMAGE}}", "node:22", "node:22"},
		{"of another variable", "mirror.local/{{env.CI_IMAGE}}", "node:22", "mirror.local/go:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tpl, err := Parse([]byte(`spec: {containers: [{name: agent, image: "`+tt.image+`"}]}`), aQueue(t, "  trusted-pipelines: true\n  steps: plain\n"))
			if err != nil {
				t.Fatal(err)
			}
			k, err := New(aJob(), 1, tpl, map[string]string{"BUILDKITE_IMAGE": tt.asked, "CI_IMAGE": "go:1"})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range FindAgent(&k.Spec.Template.Spec).Env {
				if e.Name == contract.EnvImage {
					got = append(got, e.Value)
				}
			}
			if len(got) != 1 || got[0] != tt.want {
				t.Errorf("%s is %q, want %q once", contract.EnvImage, got, tt.want)
			}
		})
	}
}

// TestDefaultPodFillsNoDisk: every place where a job can write in the default pod has a
// limit, and the volumes' limits fit into the pod's.
func TestDefaultPodFillsNoDisk(t *testing.T) {
	pod := aTemplate(t, "").Job.Spec.Template.Spec
	agent := FindAgent(&pod)
	if ro := agent.SecurityContext.ReadOnlyRootFilesystem; ro == nil || !*ro {
		t.Error("the root file system can be written")
	}
	limit, request := agent.Resources.Limits.StorageEphemeral(), agent.Resources.Requests.StorageEphemeral()
	for _, v := range pod.Volumes {
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil {
			t.Fatalf("volume %s has no limit", v.Name)
		}
		limit.Sub(*v.EmptyDir.SizeLimit)
	}
	if limit.Sign() <= 0 {
		t.Errorf("the volumes alone take %s more than the pod may", limit)
	}
	if request.IsZero() || request.Cmp(*agent.Resources.Limits.StorageEphemeral()) >= 0 {
		t.Errorf("the pod asks for %s of its node's disk: without a request, for all of the limit", request)
	}
}

// TestOneUser: a pod of the default template runs as the image's own user, so that the job
// owns the image's folders.
func TestOneUser(t *testing.T) {
	dockerfile, err := os.ReadFile(filepath.Join("..", "..", "Dockerfile.agent"))
	if err != nil {
		t.Fatal(err)
	}
	user := regexp.MustCompile(`(?s) AS agent\n.*?\nUSER (\S+)`).FindSubmatch(dockerfile)
	s := aTemplate(t, "").Job.Spec.Template.Spec.SecurityContext
	if user == nil {
		t.Fatal("the Dockerfile has no user for the stage agent")
	}
	if want := fmt.Sprintf("%d:%d", *s.RunAsUser, *s.RunAsGroup); string(user[1]) != want || *s.FSGroup != *s.RunAsGroup {
		t.Errorf("the image's user is %s, the template's %s with the volumes' group %d", user[1], want, *s.FSGroup)
	}
}

// Kubernetes keeps the end of the log of an init container that failed, unless its template
// says otherwise.
func TestInitContainersLeaveTheirLastWords(t *testing.T) {
	const template = `
spec:
  initContainers:
  - {name: silent, image: "a:1"}
  - {name: speaks, image: "a:1", terminationMessagePolicy: File}
`
	tpl, err := Parse([]byte(template), config.Queue{Name: "default", Namespace: "ci", TokenSecret: config.SecretRef{Name: "onejob-agent-token", Key: "token"}, OnTerm: "cancel"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(stacks.Job{ID: "01a20178-40c6-7700-b66b-9921d0c7c6a5"}, 1, tpl, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]corev1.TerminationMessagePolicy{"silent": corev1.TerminationMessageFallbackToLogsOnError, "speaks": corev1.TerminationMessageReadFile}
	for _, c := range k.Spec.Template.Spec.InitContainers {
		if c.TerminationMessagePolicy != want[c.Name] {
			t.Errorf("%s: %q, want %q", c.Name, c.TerminationMessagePolicy, want[c.Name])
		}
	}
}
