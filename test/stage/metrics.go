package stage

import (
	"context"
	"io"
	"net/http"
	"strings"

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
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":8080/metrics", nil)
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			texts = append(texts, string(body))
		}
	}
	return texts, nil
}

// Leads reports whether metrics are of the scheduler that leads.
func Leads(metrics string) bool { return strings.Contains(metrics, "\nonejob_leader 1\n") }
