package events

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/onejob-dev/onejob/k8s/kube"
)

// listTimeout bounds one list of Events.
const listTimeout = 15 * time.Second

// On lists the events on an object, oldest first. An API server with a watch cache of
// Events answers from that (resourceVersion 0). Usually there is none, and it looks
// through the namespace's Events.
func On(ctx context.Context, client kube.Client, namespace, kind, name string) ([]corev1.Event, error) {
	cctx, cancel := context.WithTimeout(ctx, listTimeout)
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
			out = append(out, TakeIn(e))
		}
	}
	slices.SortStableFunc(out, func(a, b corev1.Event) int { return Time(a).Compare(Time(b)) })
	return out, nil
}

// Time is when an Event last happened, by the clock of the component that wrote it.
func Time(e corev1.Event) time.Time {
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
