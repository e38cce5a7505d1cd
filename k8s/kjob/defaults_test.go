package kjob

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/config"
)

// The queue's template is merged over the installation's template-defaults, and these
// over the default template. Each may have any of the forms of a template.
func TestTemplateDefaults(t *testing.T) {
	queue := func(defaults string) config.Queue {
		c, err := config.Parse([]byte("template-defaults: "+defaults+"\nqueues: [{name: default}]"), "builds")
		if err != nil {
			t.Fatal(err)
		}
		return c.Queues[0]
	}
	inPod := "{spec: {imagePullSecrets: [{name: pull}], containers: [{name: agent, image: 'r.example/agent:1', env: [{name: HTTPS_PROXY, value: 'http://p:1'}, {name: A, value: a}]}]}}"
	for name, defaults := range map[string]string{
		"a PodTemplateSpec": inPod,
		"a Job":             "{apiVersion: batch/v1, kind: Job, spec: {template: " + inPod + "}}",
	} {
		tpl, err := Parse([]byte("{spec: {containers: [{name: agent, image: 'r.example/agent:2', env: [{name: A, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]}]}}"), queue(defaults))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		env := map[string]corev1.EnvVar{}
		for _, e := range tpl.agent().Env {
			env[e.Name] = e
		}
		pull := tpl.Job.Spec.Template.Spec.ImagePullSecrets
		if tpl.Image() != "r.example/agent:2" || env["HTTPS_PROXY"].Value != "http://p:1" || env["A"].Value != "" || env["A"].ValueFrom == nil || env["HOME"].Value == "" || len(pull) != 1 {
			t.Errorf("%s: image %s, env %+v, pull secrets %v: want the queue's over the installation's over the default", name, tpl.Image(), env, pull)
		}
	}
	if tpl, err := Parse(nil, queue(inPod)); err != nil || tpl.Image() != "r.example/agent:1" {
		t.Errorf("a queue without a template: %v, want the installation's image", err)
	}
	if _, err := Parse(nil, queue("{kind: Pod, apiVersion: v1}")); err == nil || !strings.HasPrefix(err.Error(), "template-defaults: ") {
		t.Errorf("template-defaults that are a Pod: %v, want an error that begins with the key", err)
	}
}
