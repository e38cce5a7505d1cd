package kjob

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// Load reads a queue's template from where its configuration says. client may be nil unless
// the template is an object of the cluster (job, pod-template).
func Load(ctx context.Context, client kube.Client, q config.Queue) (*Template, error) {
	doc, err := templateDoc(ctx, client, q)
	if err != nil {
		return nil, err
	}
	t, err := Parse(doc, q)
	if err != nil {
		return nil, fmt.Errorf("template of queue %s: %w", q.Name, err)
	}
	return t, nil
}

func templateDoc(ctx context.Context, client kube.Client, q config.Queue) ([]byte, error) {
	ref := q.Template
	switch {
	case ref.File != "":
		b, err := os.ReadFile(ref.File)
		if err != nil {
			return nil, fmt.Errorf("template of queue %s: %w", q.Name, err)
		}
		return b, nil
	case len(ref.Inline) > 0:
		return ref.Inline, nil
	case ref.Job == "" && ref.PodTemplate == "":
		return nil, nil
	case ref.Job != "":
		k, err := client.BatchV1().Jobs(q.Namespace).Get(ctx, ref.Job, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("template of queue %s: %w", q.Name, err)
		}
		return jobDoc(k)
	default:
		p, err := client.CoreV1().PodTemplates(q.Namespace).Get(ctx, ref.PodTemplate, metav1.GetOptions{})
		if err != nil {
			return nil, fmt.Errorf("template of queue %s: %w", q.Name, err)
		}
		return podTemplateDoc(p)
	}
}

// jobDoc is the part of a suspended Job that its author wrote. It leaves out the API server's
// defaults and labels, and the suspension, which only keeps the Job from running. Fields that
// a template can't have stay, so that Parse refuses them.
func jobDoc(k *batchv1.Job) ([]byte, error) {
	out := batchv1.Job{TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"}, Spec: *k.Spec.DeepCopy()}
	s := &out.Spec
	s.Suspend = nil
	if ptr.Deref(s.BackoffLimit, 0) == 6 {
		s.BackoffLimit = nil
	}
	if ptr.Deref(s.PodReplacementPolicy, "") == batchv1.TerminatingOrFailed {
		s.PodReplacementPolicy = nil
	}
	if !ptr.Deref(s.ManualSelector, false) {
		s.Selector = nil
	}
	out.Labels, out.Annotations = userKeys(k.Labels), userKeys(k.Annotations)
	return cleanDoc(&out, &out.Spec.Template)
}

func podTemplateDoc(p *corev1.PodTemplate) ([]byte, error) {
	out := corev1.PodTemplate{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodTemplate"}, Template: p.Template}
	if out.Template.Spec.RestartPolicy == corev1.RestartPolicyAlways {
		out.Template.Spec.RestartPolicy = "" // the API server's default
	}
	return cleanDoc(&out, &out.Template)
}

func cleanDoc(o any, t *corev1.PodTemplateSpec) ([]byte, error) {
	if ptr.Deref(t.Spec.TerminationGracePeriodSeconds, 0) == corev1.DefaultTerminationGracePeriodSeconds {
		t.Spec.TerminationGracePeriodSeconds = nil // the API server's default, where ours is longer
	}
	t.ObjectMeta = metav1.ObjectMeta{Labels: userKeys(t.Labels), Annotations: userKeys(t.Annotations)}
	return json.Marshal(o)
}

func userKeys(m map[string]string) map[string]string {
	m = maps.Clone(m)
	maps.DeleteFunc(m, func(k, _ string) bool {
		switch prefix, name, _ := strings.Cut(k, "/"); prefix {
		case "batch.kubernetes.io", "kubectl.kubernetes.io":
			return name != ""
		}
		return k == "controller-uid" || k == "job-name"
	})
	return m
}

// followAgain is the wait between the end of one watch of a template and the next watch.
const followAgain = 5 * time.Second

// Follow calls changed at the start of each watch of a template in the cluster and at each
// change of the template, until ctx ends. If changed returns false, Follow begins a new watch
// after followAgain. It returns at once for a template outside the cluster.
func Follow(ctx context.Context, client kube.Client, q config.Queue, changed func() bool) {
	ref := q.Template
	if ref.Job == "" && ref.PodTemplate == "" {
		return
	}
	for jitter.Sleep(ctx, followAgain) {
		w, err := watchTemplate(ctx, client, q)
		if err != nil {
			continue
		}
		known := changed() // the template may have changed between two watches
		for known {
			select {
			case <-ctx.Done():
				known = false
			case e, open := <-w.ResultChan():
				switch {
				case !open, e.Type == watch.Error:
					known = false
				case e.Type != watch.Bookmark:
					known = changed()
				}
			}
		}
		w.Stop()
	}
}

func watchTemplate(ctx context.Context, client kube.Client, q config.Queue) (watch.Interface, error) {
	opts := func(name string) metav1.ListOptions {
		return metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	}
	if q.Template.Job != "" {
		return client.BatchV1().Jobs(q.Namespace).Watch(ctx, opts(q.Template.Job))
	}
	return client.CoreV1().PodTemplates(q.Namespace).Watch(ctx, opts(q.Template.PodTemplate))
}
