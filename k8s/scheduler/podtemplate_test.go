package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// names is the environment of a job whose step names a PodTemplate.
func names(template string) map[string]string {
	return map[string]string{"BUILDKITE_PLUGINS": `[{"kubernetes":{"podTemplate":"` + template + `"}}]`}
}

// A step's PodTemplate is read once for each job. One that isn't there, or not allowed,
// ends the job; one that can't be read for a while keeps its pod waiting, and no other's.
func TestPodTemplateOfStep(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		p := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: "node", Namespace: namespace}}
		p.Template.Spec = corev1.PodSpec{RestartPolicy: corev1.RestartPolicyAlways, Containers: []corev1.Container{{Name: "test", Image: "node:22"}}}
		if _, err := w.kube.CoreV1().PodTemplates(namespace).Create(w.ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		down, read := false, 0
		w.kube.PrependReactor("get", "podtemplates", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if down {
				return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "podtemplates"}, "node", errors.New("not yours"))
			}
			read++
			return false, nil, nil
		})
		r := w.start("  steps: pod\n  policy: {pod-templates: [node, gone]}\n")
		good, gone, refused := w.buildOn("default", 3, names("node")), w.buildOn("default", 1, names("gone"))[0], w.buildOn("default", 1, names("java"))[0]
		w.await("finished", time.Minute, w.finished(5))
		for _, id := range good {
			if got := w.containerImage(id, contract.CommandContainer); got != "node:22" {
				t.Errorf("job %s has a command container of image %q", id, got)
			}
		}
		for id, want := range map[string]string{gone: "there is no PodTemplate gone in the namespace builds", refused: `the PodTemplate "java" is not one that this queue's steps may use`} {
			if f := w.job(id).StackFinish; f == nil || !strings.Contains(f.Detail, want) || w.kjobs(id) != 0 {
				t.Errorf("finish %+v with %d kjobs, want %q and none", f, w.kjobs(id), want)
			}
		}
		w.mu.Lock()
		if read != 4 {
			t.Errorf("PodTemplates were read %d times for 4 jobs", read)
		}
		down = true
		w.mu.Unlock()
		late, other := w.buildOn("default", 1, names("node"))[0], w.buildOn("default", 1, nil)
		w.await("the other's end", time.Minute, w.finished(6))
		time.Sleep(10 * time.Second)
		if n := w.kjobs(late); n != 0 || w.kjobs(other[0]) != 1 {
			t.Errorf("%d kjobs before its PodTemplate was read", n)
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		w.await("its end", 5*time.Minute, w.finished(7))
		if n := w.kjobs(late); n != 1 {
			t.Errorf("%d kjobs, want 1", n)
		}
		r.end(w)
	})
}

// So it is for a job with a resource class.
func TestPodTemplateOfStepInAClass(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		p := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: "node", Namespace: namespace}}
		p.Template.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: "test", Image: "node:22"}}}
		if _, err := w.kube.CoreV1().PodTemplates(namespace).Create(w.ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		read := 0
		w.kube.PrependReactor("get", "podtemplates", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if read++; read > 3 { // it would go on for ever
				return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "podtemplates"}, "node")
			}
			return false, nil, nil
		})
		r := w.start("  steps: pod\n  policy: {pod-templates: [node]}\n  resource-classes: {big: {resource: {requests: {cpu: 2m}}}}\n")
		b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, agents: {queue: default, resource_class: big}}]"), Env: names("node")})
		if err != nil {
			t.Fatal(err)
		}
		w.await("its end", time.Minute, w.finished(1))
		got := w.containerImage(b.JobIDs[0], contract.CommandContainer)
		w.mu.Lock()
		if got != "node:22" || read != 1 {
			t.Errorf("a command container of image %q, and %d reads", got, read)
		}
		w.mu.Unlock()
		r.end(w)
	})
}

// An API server that doesn't answer ends no job, however long that lasts.
func TestPodTemplateUnansweredEndsNoJob(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		p := &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: "node", Namespace: namespace}}
		p.Template.Spec = corev1.PodSpec{Containers: []corev1.Container{{Name: "test", Image: "node:22"}}}
		if _, err := w.kube.CoreV1().PodTemplates(namespace).Create(w.ctx, p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		down := true
		w.kube.PrependReactor("get", "podtemplates", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return down, nil, apierrors.NewServiceUnavailable("down")
		})
		r := w.start("  steps: pod\n  pending-timeout: 2m\n  policy: {pod-templates: [node]}\n")
		id := w.buildOn("default", 1, names("node"))[0]
		time.Sleep(10 * time.Minute)
		if f := w.job(id).StackFinish; f != nil || w.kjobs(id) != 0 {
			t.Errorf("the job was ended by an outage: %+v, %d kjobs", f, w.kjobs(id))
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		w.await("its end", 5*time.Minute, w.finished(1))
		if n := w.kjobs(id); n != 1 {
			t.Errorf("%d kjobs, want 1", n)
		}
		r.end(w)
	})
}
