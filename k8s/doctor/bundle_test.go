package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/stacks"
)

// unpacked is a bundle's files by their name.
func unpacked(t *testing.T, b []byte) map[string]string {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "onejob-bundle/")] = string(text)
	}
}

// secrets are one for each place that has them; all of them begin alike.
const (
	secretToken      = "zz-agent-token-0123456789"
	secretBearer     = "zz-bearer-0123456789"
	secretConfigEnv  = "zz-config-env \"with quotes\" and\nlines of text"
	secretConfigArg  = "--password=zz-config-arg"
	secretKjobEnv    = "zz-kjob-env"
	secretKjobArg    = "zz-kjob-arg"
	secretAnnotation = "zz-annotation"
	secretLastOutput = "zz-last-output-of-a-container"
)

// served is what a pod answers.
type served string

func (s served) DoRaw(context.Context) ([]byte, error) { return []byte(s), nil }

func (s served) Stream(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(s))), nil
}

// No secret that the bundle's sources have is in it, wherever else it stands again; what
// support needs is.
func TestBundleHasNoSecrets(t *testing.T) {
	cfg, err := config.Parse([]byte(`
queues:
- name: default
  template: {inline: {metadata: {annotations: {vault: zz-annotation}}, spec: {containers: [{name: agent, env: [{name: A, value: "zz-config-env \"with quotes\" and\nlines of text"}]}, {name: b, image: x, args: ["--password=zz-config-arg"]}]}}}
`), "builds")
	if cfg == nil {
		t.Fatal(err)
	}
	labels := map[string]string{contract.LabelQueue: "default"}
	spec := corev1.PodSpec{NodeName: "node-7", Containers: []corev1.Container{{Name: "agent", Image: "i", Env: []corev1.EnvVar{{Name: "A", Value: secretKjobEnv}}, Args: []string{secretKjobArg}}}}
	client := fake.NewClientset(
		&batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "onejob-x", Namespace: "builds", Labels: labels, Annotations: map[string]string{"vault": secretAnnotation, contract.AnnotationStep: "test"}},
			Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: spec}}},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "onejob-x-1", Namespace: "builds", Labels: labels}, Spec: spec, Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{
			{Name: "agent", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 75, Message: `{"contract":1,"outcome":"exhausted"}`}}},
			{Name: "b", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: secretLastOutput}}},
		}}},
		&corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "builds"}, InvolvedObject: corev1.ObjectReference{Name: "onejob-x-1"}, Message: "exec: " + secretKjobArg + ": not found; " + secretConfigEnv},
		&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "onejob-0", Namespace: "onejob", Labels: map[string]string{"app.kubernetes.io/name": "onejob", "app.kubernetes.io/component": "scheduler"}}},
	)
	client.AddProxyReactor("pods", func(clienttesting.Action) (bool, rest.ResponseWrapper, error) {
		return true, served("onejob_leader 1\nonejob_x{v=\"" + secretToken + "\"} 1\n"), nil
	})
	p := Patient{
		Config: cfg, Namespace: "onejob", kube: client, REST: &rest.Config{BearerToken: secretBearer},
		Token: func(config.Queue) (stacks.TokenSource, error) { return stacks.Token(secretToken), nil },
	}
	report := Report{{Check: "token", Result: Fail, Found: "refused " + secretToken + ", as " + secretBearer}}
	var b bytes.Buffer
	if err := p.Bundle(t.Context(), &b, report); err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, b.Bytes())
	for name, text := range files {
		for _, secret := range []string{secretToken, secretBearer, secretConfigEnv, secretConfigArg, secretKjobEnv, secretKjobArg, secretAnnotation, secretLastOutput, "zz-"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s has %q:\n%s", name, secret, text)
			}
		}
	}
	for name, want := range map[string]string{
		"doctor.json": "refused", "onejob.yaml": "name: default", "namespaces/builds/jobs.json": "left out (11 bytes)", "namespaces/builds/pods.json": "node-7",
		"namespaces/builds/events.json": "not found", "scheduler/onejob-0.log": "fake logs", "scheduler/onejob-0.json": "{", "scheduler/onejob-0.metrics": "onejob_leader 1", "errors.txt": "",
	} {
		if text, ok := files[name]; !ok || !strings.Contains(text, want) {
			t.Errorf("%s doesn't have %q:\n%s", name, want, text)
		}
	}
	if !strings.Contains(files["namespaces/builds/pods.json"], "exhausted") || !strings.Contains(files["namespaces/builds/jobs.json"], "onejob.dev/step") {
		t.Error("the runner's message or onejob's annotation is left out")
	}
}

func TestText(t *testing.T) {
	r := newRedactor("hush-hush")
	for in, want := range map[string]string{
		"said hush-hush twice: hush-hush":                                            "said left-out twice: left-out",
		"level=info msg=\"listed jobs\" queue=default n=4":                           "level=info msg=\"listed jobs\" queue=default n=4",
		"bkct_abcdefgh12345678 was refused":                                          "bkct_left-out was refused",
		"cloning https://me:pw12345@git.example/x":                                   "cloning https://me:left-out@git.example/x",
		"Authorization: Bearer abcdefgh":                                             "Authorization: Bearer left-out",
		`{"password":"correct horse"}`:                                               `{"password":"left-out horse"}`,
		"ghp_0123456789abcdef":                                                       "ghp_left-out",
		"AKIA0123456789ABCDEF":                                                       "AKIAleft-out",
		"t=eyJhbGciOiJI.eyJzdWIiOiIx.c2lnbmF0dXJl!":                                  "t=left-out!",
		"-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nafter": "left-out\nafter",
		"token-file: /var/run/onejob/token/token":                                    "token-file: /var/run/onejob/token/token",
		"https://buildkite.com/acme/demo/builds/7#018f0000":                          "https://buildkite.com/acme/demo/builds/7#018f0000",
	} {
		if got := r.text(in); got != want {
			t.Errorf("%q:\n got %q\nwant %q", in, got, want)
		}
	}
}

// Whatever a log has, taking secrets out ends, and leaves none of those that are known.
func FuzzText(f *testing.F) {
	f.Add("a hush-hush b", "hush-hush")
	f.Add("://a:b@c eyJ.. -----BEGIN PRIVATE KEY-----", "secret=1234")
	f.Fuzz(func(t *testing.T, text, secret string) {
		got := newRedactor(secret).text(text)
		if s := strings.TrimSpace(secret); len(s) >= leastSecret && !strings.Contains("left-out", s) && strings.Contains(strings.ReplaceAll(got, "left-out", "\x00"), s) {
			t.Errorf("%q is in %q", s, got)
		}
	})
}
