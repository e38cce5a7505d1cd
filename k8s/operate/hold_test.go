package operate

import (
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
)

// Only a pod that runs, and whose queue allows it, is asked to stay.
func TestHold(t *testing.T) {
	pod := func(name string, phase corev1.PodPhase, volume string) *corev1.Pod {
		labels := map[string]string{contract.LabelJobID: string(contract.SampleJobID), contract.LabelQueue: "q"}
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "builds", Labels: labels}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{{Name: volume}}}, Status: corev1.PodStatus{Phase: phase}}
	}
	client := fake.NewClientset(pod("over", corev1.PodFailed, contract.HoldVolume), pod("runs", corev1.PodRunning, contract.HoldVolume))
	for d, want := range map[time.Duration]string{30 * time.Minute: "30m0s", 0: "0s"} {
		names, err := Hold(t.Context(), client, "builds", contract.SampleJobID, d)
		if err != nil || !slices.Equal(names, []string{"runs"}) {
			t.Fatal(names, err)
		}
		p, err := client.CoreV1().Pods("builds").Get(t.Context(), "runs", metav1.GetOptions{})
		if err != nil || p.Annotations[contract.AnnotationHold] != want {
			t.Errorf("annotations %v, %v", p.Annotations, err)
		}
	}
	client = fake.NewClientset(pod("plain", corev1.PodRunning, "home"))
	if names, err := Hold(t.Context(), client, "builds", contract.SampleJobID, time.Minute); !errors.Is(err, ErrNoHold) || len(names) != 0 {
		t.Errorf("%q, %v", names, err)
	}
}
