package k8s

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// warningsOn lists the Warning events on an object, newest first. It reads from
// the API server's watch cache (resourceVersion 0), never from etcd.
func warningsOn(ctx context.Context, client kubernetes.Interface, namespace, kind, name string) ([]Warning, error) {
	es, err := eventsOn(ctx, client, namespace, kind, name)
	if err != nil {
		return nil, err
	}
	return warningsOf(es), nil
}

func warningsOf(es []corev1.Event) (out []Warning) {
	for _, e := range slices.Backward(es) {
		if e.Type == corev1.EventTypeWarning && e.Source.Component != managedBy {
			out = append(out, Warning{e.Reason, e.Message})
		}
	}
	return out
}

// eventsOn lists the events on an object, oldest first.
func eventsOn(ctx context.Context, client kubernetes.Interface, namespace, kind, name string) ([]corev1.Event, error) {
	cctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	list, err := client.CoreV1().Events(namespace).List(cctx, metav1.ListOptions{
		ResourceVersion: "0",
		FieldSelector:   fields.Set{"involvedObject.kind": kind, "involvedObject.name": name}.AsSelector().String(),
	})
	if err != nil {
		return nil, fmt.Errorf("listing the events of %s %s: %w", kind, name, err)
	}
	var out []corev1.Event
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name { // the fake clientset doesn't select
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b corev1.Event) int { return eventTime(a).Compare(eventTime(b)) })
	return out, nil
}

func eventTime(e corev1.Event) time.Time {
	switch {
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	default:
		return e.CreationTimestamp.Time
	}
}
