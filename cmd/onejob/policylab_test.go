package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/admission"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/steps"
	"github.com/onejob-dev/onejob/stacks"
)

// ruled is a queue whose policies the API server has.
type ruled struct {
	config.Queue
	*kjob.Template
}

// rules has the API server hold the Jobs of queues to their policies, and returns when it
// does. whole is with the policies of placeholders and classes.
func (l *lab) rules(queues string, whole bool) map[string]ruled {
	l.Helper()
	cfg, err := config.Parse([]byte(queues), l.namespace)
	l.must(err)
	out := map[string]ruled{}
	objects := []admission.Objects{admission.Others(l.namespace, cfg.Queues)}
	for _, q := range cfg.Queues {
		t, err := kjob.Parse(q.Template.Inline, q)
		l.must(err)
		of, err := admission.Of(q, t)
		l.must(err)
		if !whole {
			of = of[:1] // no placeholder is asked about
		}
		objects, out[q.Name] = append(objects, of...), ruled{q, t}
	}
	api := l.admin.AdmissionregistrationV1()
	for _, o := range objects {
		_, err := api.ValidatingAdmissionPolicies().Create(l.Context(), o.Policy, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		l.must(err)
		_, err = api.ValidatingAdmissionPolicyBindings().Create(l.Context(), o.Binding, metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict})
		l.must(err)
	}
	l.Cleanup(func() {
		for _, o := range objects {
			_ = api.ValidatingAdmissionPolicies().Delete(l.Context(), o.Policy.Name, metav1.DeleteOptions{})
			_ = api.ValidatingAdmissionPolicyBindings().Delete(l.Context(), o.Binding.Name, metav1.DeleteOptions{})
		}
	})
	for name, q := range out {
		l.await("the policy of "+name, func() bool {
			k := l.made(q, nil)
			k.Spec.Template.Spec.NodeName = "any"
			return denied(l.ask(k))
		})
	}
	l.await("the policy of other Jobs", func() bool { return denied(l.ask(others(l.made(slices.Collect(maps.Values(out))[0], nil)))) })
	return out
}

// made is what onejob makes of a step.
func (l *lab) made(q ruled, env map[string]string, rules ...string) *batchv1.Job {
	l.Helper()
	k, err := kjob.New(stacks.Job{ID: contract.SampleJobID, Rules: rules}, 1, q.Template, env)
	l.must(err)
	return k
}

func others(k *batchv1.Job) *batchv1.Job {
	delete(k.Labels, contract.LabelQueue)
	return k
}

// ask is what the API server says of a Job, in a dry run.
func (l *lab) ask(k *batchv1.Job) error {
	_, err := l.answer(k)
	return err
}

func (l *lab) answer(k *batchv1.Job) (*batchv1.Job, error) {
	return l.admin.BatchV1().Jobs(l.namespace).Create(l.Context(), k, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
}

func denied(err error) bool {
	return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy 'onejob-")
}

// byHand is a Job as somebody would make it who wants what a step describes, and no
// judgement of it.
func (l *lab) byHand(q ruled, step steps.Step) *batchv1.Job {
	l.Helper()
	pod, err := steps.Resolve(step, steps.Defaults{Image: q.CommandImage()})
	l.must(err)
	k := l.made(q, map[string]string{steps.EnvPlugins: `["kubernetes"]`})
	spec := &k.Spec.Template.Spec
	agent, command, described := &spec.Containers[0], &spec.Containers[1], pod.Commands[0].Container
	described.Name = command.Name
	secure := command.SecurityContext
	l.over(command, described)
	if s := command.SecurityContext; s != nil && s.Privileged != nil {
		s.AllowPrivilegeEscalation = nil
	}
	for name, amount := range command.Resources.Requests {
		if limit, ok := command.Resources.Limits[name]; ok && amount.Cmp(limit) > 0 {
			command.Resources.Limits[name] = amount
		}
	}
	for _, c := range slices.Concat(pod.Init, pod.Sidecars) {
		of := corev1.Container{SecurityContext: secure.DeepCopy()}
		l.over(&of, c)
		spec.InitContainers = append(spec.InitContainers, of)
	}
	l.over(spec, pod.Spec)
	spec.Volumes = append(spec.Volumes, pod.Volumes...)
	l.over(&agent.Resources, pod.Runner.Resources)
	command.EnvFrom = append(command.EnvFrom, pod.Checkout.EnvFrom...) // the runner has none of a step's
	if s := pod.Checkout.Credentials; s != nil {
		spec.Volumes = append(spec.Volumes, corev1.Volume{Name: "onejob-git-credentials", VolumeSource: corev1.VolumeSource{Secret: s}})
	}
	for _, of := range []*metav1.ObjectMeta{&k.ObjectMeta, &k.Spec.Template.ObjectMeta} {
		maps.Copy(of.Labels, pod.Metadata.Labels)
		maps.Copy(of.Annotations, pod.Metadata.Annotations)
	}
	if pod.Deadline > 0 {
		k.Spec.ActiveDeadlineSeconds = &pod.Deadline
	}
	return k
}

// over merges what is said over what is there: lists are appended.
func (l *lab) over(to, from any) {
	l.Helper()
	var base, more map[string]any
	for v, m := range map[any]*map[string]any{to: &base} {
		b, err := json.Marshal(v)
		l.must(err)
		l.must(json.Unmarshal(b, m))
	}
	b, err := json.Marshal(from)
	l.must(err)
	l.must(json.Unmarshal(b, &more))
	b, err = json.Marshal(merged(base, more))
	l.must(err)
	l.must(json.Unmarshal(b, to))
}

func merged(base, more any) any {
	switch m := more.(type) {
	case map[string]any:
		b, ok := base.(map[string]any)
		if !ok {
			return more
		}
		for k, v := range m {
			b[k] = merged(b[k], v)
		}
		return b
	case []any:
		b, _ := base.([]any)
		return append(b, m...)
	case nil:
		return base
	}
	return more
}
