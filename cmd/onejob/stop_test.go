package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	testcore "k8s.io/client-go/testing"
)

// A Deployment is stopped when its pods are gone, and no sooner; one that isn't there
// is stopped; one whose pods stay is an error.
func TestStopDeployment(t *testing.T) {
	for _, tt := range []struct {
		name  string
		there bool
		ends  time.Duration // of the pod, after the scale
		want  string
		takes time.Duration
	}{
		{"none there", false, 0, "", 0},
		{"a pod that drains", true, 4500 * time.Millisecond, "", 5 * time.Second},
		{"a pod that stays", true, time.Hour, "waiting for the pods of Deployment onejob to end: its pods were still there after 2m0s", 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				kube := fake.NewClientset(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "onejob", Labels: map[string]string{"of": "scheduler"}}},
					&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a-job", Namespace: "onejob"}})
				scale := &autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: 2}, Status: autoscalingv1.ScaleStatus{Selector: "of=scheduler"}}
				if tt.there {
					kube.PrependReactor("get", "deployments", func(testcore.Action) (bool, runtime.Object, error) { return true, scale.DeepCopy(), nil })
				}
				kube.PrependReactor("update", "deployments", func(a testcore.Action) (bool, runtime.Object, error) {
					scale = a.(testcore.UpdateAction).GetObject().(*autoscalingv1.Scale)
					time.AfterFunc(tt.ends, func() {
						_ = kube.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "onejob", "a")
					})
					return true, scale, nil
				})
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				begin := time.Now()
				err := stopDeployment(ctx, kube.AppsV1().Deployments("onejob"), kube.CoreV1().Pods("onejob"), "onejob")
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%v, want %q", err, tt.want)
				}
				if tt.there && scale.Spec.Replicas != 0 {
					t.Errorf("%d replicas, want 0", scale.Spec.Replicas)
				}
				if took := time.Since(begin); took.Round(time.Second) != tt.takes {
					t.Errorf("it took %s, want %s", took, tt.takes)
				}
				synctest.Wait()
				time.Sleep(2 * time.Hour) // the timer above
			})
		})
	}
}
