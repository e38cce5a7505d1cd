package doctor

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// lookEvery is how often the pod that pulls is looked at.
const lookEvery = 500 * time.Millisecond

// image has a node pull the images of a queue's pods: a Job is made, and removed. It is a
// Job and no pod, because that takes only the rights that scheduler and operators have.
func (p *Patient) image(ctx context.Context, q config.Queue, t *kjob.Template) Finding {
	f := about("image", "queue "+q.Name)
	for _, r := range []right{{"batch", "jobs", "create", ""}, {"batch", "jobs", "delete", ""}, {"", "pods", "list", ""}} {
		if allowed, err := p.may(ctx, t.Namespace, r); err != nil || !allowed {
			return f.not(Skip, "not tried: no right to "+r.String()+" in namespace "+t.Namespace, "give a user with the Role onejob-operator of deploy/operator.yaml")
		}
	}
	trial, unknown, err := kjob.Trial(t, "onejob-doctor-"+rand.String(8))
	switch {
	case err != nil:
		return f.not(Skip, contract.Sentence(err.Error()), "")
	case len(trial.Spec.Template.Spec.Containers) == 0:
		return f.not(Skip, "every image depends on the job", "")
	}
	ctx, cancel := context.WithTimeout(ctx, p.PullTimeout)
	defer cancel()
	if _, err := p.kube.BatchV1().Jobs(t.Namespace).Create(ctx, trial, metav1.CreateOptions{}); err != nil {
		return f.not(Fail, contract.Sentence(err.Error()), "see the line template")
	}
	defer p.remove(ctx, trial)
	f = p.pulls(ctx, f, trial)
	if len(unknown) > 0 {
		f.Found += "; not tried, because the name depends on the job: " + strings.Join(unknown, ", ")
	}
	return f
}

func (p *Patient) remove(ctx context.Context, trial *batchv1.Job) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	background := metav1.DeletePropagationBackground
	_ = p.kube.BatchV1().Jobs(trial.Namespace).Delete(ctx, trial.Name, metav1.DeleteOptions{PropagationPolicy: &background}) //nolint:errcheck // its deadline and its time to live remove it, too
}

// pulls waits for the trial's pod to have its images, or not to get them.
func (p *Patient) pulls(ctx context.Context, f Finding, trial *batchv1.Job) Finding {
	began := time.Now()
	var pod *corev1.Pod
	for {
		pods, err := p.kube.CoreV1().Pods(trial.Namespace).List(ctx, metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + trial.Name})
		if err == nil && len(pods.Items) > 0 {
			pod = &pods.Items[0]
			if verdict, known := ofPod(f, pod, time.Since(began)); known {
				return verdict
			}
		}
		if !jitter.Sleep(ctx, lookEvery) {
			return p.overdue(f, trial, pod)
		}
	}
}

// ofPod is what a pod's status says of its images, if it says anything yet.
func ofPod(f Finding, pod *corev1.Pod, took time.Duration) (Finding, bool) {
	has := 0
	for _, c := range pod.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && failsToPull(w.Reason) {
			return f.not(Fail, fmt.Sprintf("node %s can't pull %s: %s: %s", pod.Spec.NodeName, c.Image, contract.Word(w.Reason), contract.Sentence(w.Message)),
				"push the image, correct its name in template-defaults or in the chart's agentImage, or give imagePullSecrets; nodes must reach the registry"), true
		}
		if c.ImageID != "" {
			has++
		}
	}
	if has < len(pod.Spec.Containers) {
		return f, false
	}
	var images []string
	for _, c := range pod.Spec.Containers {
		images = append(images, c.Image)
	}
	return f.ok(fmt.Sprintf("node %s has %s after %s", pod.Spec.NodeName, strings.Join(images, ", "), took.Round(100*time.Millisecond))), true
}

func failsToPull(reason string) bool {
	kind := decide.FailureKind(reason)
	return kind == "image" || kind == "name" || reason == "ErrImageNeverPull"
}

// overdue is for a pod that isn't there, has no node, or is still pulling.
func (p *Patient) overdue(f Finding, trial *batchv1.Job, pod *corev1.Pod) Finding {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	kind, name, what := "Job", trial.Name, "no pod was made"
	fix := "look at the namespace's ResourceQuota and admission webhooks"
	switch {
	case pod == nil:
	case pod.Spec.NodeName == "":
		kind, name, what = "Pod", pod.Name, "no node took the pod"
		fix = "give the cluster a node with room for it, or change the template's nodeSelector, tolerations or resources"
	default:
		kind, name, what = "Pod", pod.Name, "node "+pod.Spec.NodeName+" has not pulled the images"
		fix = "wait longer with --pull-timeout, or look at the node"
	}
	es, _ := events.On(ctx, p.kube, trial.Namespace, kind, name) //nolint:errcheck // then nothing more is known
	var why string
	for _, e := range slices.Backward(es) {
		if e.Type == corev1.EventTypeWarning {
			why = ": " + contract.Sentence(cmp.Or(e.Message, e.Reason))
			break
		}
	}
	return f.not(Warn, what+" within "+p.PullTimeout.String()+why, fix)
}
