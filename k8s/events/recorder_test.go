package events

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/k8s/decide"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
)

// What is queued when a scheduler drains is written yet, and a create that had no
// answer is repeated; one that was refused isn't.
func TestEventsAreWritten(t *testing.T) {
	forbidden := apierrors.NewForbidden(corev1.Resource("events"), "", nil)
	for _, tt := range []struct {
		name    string
		fails   error
		times   int
		queued  int
		drained bool // before any of them is written
		written int
		tries   int
	}{
		{name: "queued at a drain", queued: 3, drained: true, written: 3, tries: 3},
		{name: "queued at a drain, and no answer comes", queued: 3, drained: true, fails: io.ErrUnexpectedEOF, times: 1000, tries: 4},
		{name: "two tries without an answer", queued: 2, fails: io.ErrUnexpectedEOF, times: 2, written: 2, tries: 4},
		{name: "never an answer", queued: 1, fails: apierrors.NewServiceUnavailable("down"), times: 1000, tries: eventTries},
		{name: "refused", queued: 2, fails: forbidden, times: 1, written: 1, tries: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewSimpleClientset() //nolint:staticcheck // the newer one tracks managed fields, slowly
				tries := 0
				client.PrependReactor("create", "events", func(k8stesting.Action) (bool, runtime.Object, error) {
					if tries++; tries <= tt.times {
						return true, nil, tt.fails
					}
					return false, nil, nil
				})
				r := NewRecorder(client, slog.New(slog.DiscardHandler))
				for range tt.queued {
					r.Event("builds", "onejob-x", "", true, "JobFinished", "words", decide.Decision{})
					time.Sleep(time.Microsecond) // names are times
				}
				ctx, cancel := context.WithCancel(t.Context())
				if tt.drained {
					cancel()
				}
				done := make(chan struct{})
				go func() { defer close(done); r.Run(ctx) }()
				time.Sleep(time.Minute)
				cancel()
				<-done
				list, err := client.CoreV1().Events("builds").List(t.Context(), metav1.ListOptions{})
				if err != nil || len(list.Items) != tt.written || tries != tt.tries {
					t.Errorf("%d Events are written in %d tries (%v), want %d in %d", len(list.Items), tries, err, tt.written, tt.tries)
				}
			})
		})
	}
}
