package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

const (
	bundledJob   = contract.JobID("018f0000-0000-7000-8000-000000000001")
	bundledImage = "registry.test/team/app:1.2"
)

// asMade is a kjob as the scheduler makes it, of a step with an image of its own. The
// template gives the command's pod a variable.
func asMade(t *testing.T, q config.Queue) *batchv1.Job {
	t.Helper()
	tpl, err := kjob.Parse([]byte(`spec: {containers: [{name: agent, env: [{name: DEPLOY_KEY, value: zz-template-env}, {name: WHERE, value: linux-large}]}]}`), q)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kjob.New(stacks.Job{ID: bundledJob, Pipeline: "monorepo", Step: "test"}, 2, tpl, map[string]string{"BUILDKITE_IMAGE": bundledImage})
	if err != nil {
		t.Fatal(err)
	}
	k.Annotations[contract.AnnotationStory] = decide.History{{Reason: decide.ReasonContainer, Attempt: 1, Text: "container command ended with exit code 3 before it had the command: Error zz-of-a-pod that is gone"}}.Annotation()
	return k
}

func bundle(t *testing.T, cfg *config.Config, client *fake.Clientset) map[string]string {
	t.Helper()
	p := Patient{Config: cfg, Namespace: "onejob", kube: client, Token: func(config.Queue) (stacks.TokenSource, error) { return nil, nil }} //nolint:nilnil // no token is no error
	var b bytes.Buffer
	if err := p.Bundle(t.Context(), &b, nil); err != nil {
		t.Fatal(err)
	}
	files := unpacked(t, b.Bytes())
	for name, text := range files {
		if strings.HasSuffix(name, ".json") && !json.Valid([]byte(text)) {
			t.Errorf("%s is no JSON:\n%s", name, text)
		}
	}
	return files
}

func aConfig(t *testing.T) *config.Config {
	t.Helper()
	cfg, err := config.Parse([]byte("queues: [{name: linux-large, steps: pod}]"), "builds")
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A bundle tells which job, image and queue it is about: what onejob itself sets is no
// secret. What the template sets is left out, and what a container said at its end.
func TestBundleTells(t *testing.T) {
	cfg := aConfig(t)
	k := asMade(t, cfg.Queues[0])
	event := func(name, message string) *corev1.Event {
		return &corev1.Event{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "builds"}, InvolvedObject: corev1.ObjectReference{Name: k.Name}, Message: message}
	}
	files := bundle(t, cfg, fake.NewClientset(k,
		event("a", "job "+bundledJob.String()+" in queue linux-large: can't pull "+bundledImage+"; onejob-step, /builds, https://agent.buildkite.com/v3; zz-template-env"),
		event("b", `container fetch ended with exit code 3 in two pods. Its last output: said "zz-of-a-pod" | zz-again`),
	))
	for name, text := range files {
		if strings.Contains(text, "zz-") {
			t.Errorf("%s has a secret:\n%s", name, text)
		}
	}
	for name, wants := range map[string][]string{
		"onejob.yaml": {"linux-large"},
		"namespaces/builds/jobs.json": {
			`"name": "` + k.Name + `"`, `"onejob.dev/job-id": "` + bundledJob.String() + `"`, `"image": "` + bundledImage + `"`, `"onejob.dev/queue": "linux-large"`,
			`"mountPath": "/builds"`, `"automountServiceAccountToken": false`, `"left out (15 bytes)"`, "before it had the command: Error left-out",
		},
		"namespaces/builds/events.json": {
			"job " + bundledJob.String() + " in queue linux-large: can't pull " + bundledImage + "; onejob-step, /builds, https://agent.buildkite.com/v3; left-out", "Its last output: left-out",
		},
	} {
		for _, want := range wants {
			if !strings.Contains(files[name], want) {
				t.Errorf("%s doesn't have %q:\n%s", name, want, files[name])
			}
		}
	}
}

// A list that is longer than a bundle takes says so, and Events of others are no reason to
// leave out onejob's.
func TestBundleSaysWhatItLacks(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("list", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, &batchv1.JobList{ListMeta: metav1.ListMeta{Continue: "more"}}, nil
	})
	pages := 0
	client.PrependReactor("list", "events", func(clienttesting.Action) (bool, runtime.Object, error) {
		if pages++; pages < 3 {
			return true, &corev1.EventList{ListMeta: metav1.ListMeta{Continue: fmt.Sprint(pages)}}, nil
		}
		return true, &corev1.EventList{Items: []corev1.Event{{InvolvedObject: corev1.ObjectReference{Name: "onejob-x"}, Message: "on the third page"}}}, nil
	})
	files := bundle(t, aConfig(t), client)
	if got := files["errors.txt"]; !strings.Contains(got, "namespaces/builds/jobs: there are more than the first 2000") || strings.Contains(got, "events") {
		t.Errorf("errors.txt: %q", got)
	}
	if got := files["namespaces/builds/events.json"]; !strings.Contains(got, "on the third page") {
		t.Errorf("events.json: %s", got)
	}
}
