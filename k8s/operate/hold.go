package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// ErrNoHold is returned by Hold for a pod whose queue allows none.
var ErrNoHold = errors.New("its queue allows no hold: set hold to the longest time there, which counts for later jobs")

// Hold has the containers of a job's running pods stay for d when the job is over, or end
// at once with 0, and returns the pods' names. It writes an annotation, which the kubelet
// shows to the runner: whoever may patch pods may do that, and the scheduler needs no right
// for it.
func Hold(ctx context.Context, kube kube.Client, namespace string, id contract.JobID, d time.Duration) ([]string, error) {
	_, pods, err := objectsOf(ctx, kube, namespace, id)
	if err != nil {
		return nil, err
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]string{contract.AnnotationHold: d.String()}}})
	if err != nil {
		return nil, err
	}
	var names []string
	for i := range pods {
		p := &pods[i]
		if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
			continue
		}
		if !slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == contract.HoldVolume }) {
			return names, fmt.Errorf("pod %s: %w", p.Name, ErrNoHold)
		}
		if _, err := kube.CoreV1().Pods(p.Namespace).Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return names, fmt.Errorf("annotating pod %s: %w", p.Name, err)
		}
		names = append(names, p.Name)
	}
	return names, nil
}
