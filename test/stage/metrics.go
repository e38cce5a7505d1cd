package stage

import (
	"context"
	"io"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Metrics are those of each scheduler that answers, as text.
func Metrics(ctx context.Context, client kubernetes.Interface) (texts []string, err error) {
	pods, err := client.CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=scheduler"})
	if err != nil {
		return nil, err
	}
	for _, p := range pods.Items {
		if text, err := get(ctx, p, "/metrics"); err == nil {
			texts = append(texts, text)
		}
	}
	return texts, nil
}

// get is what a scheduler answers, whatever its status.
func get(ctx context.Context, p corev1.Pod, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":8080"+path, http.NoBody)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// Leads reports whether metrics are of the scheduler that leads.
func Leads(metrics string) bool { return strings.Contains(metrics, "\nonejob_leader 1\n") }
