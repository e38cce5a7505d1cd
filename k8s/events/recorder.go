package events

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// The reasons of the Events about jobs. Lost and Notice are about a job's end.
const (
	Waiting   = "JobWaiting"
	Unmatched = "JobUnmatched"
	Finished  = "JobFinished"
	Lost      = "JobLost"
	Notice    = "JobNotice"
)

// Recorder writes Events, one create each: client-go's own would also patch,
// which the Role doesn't allow. Ordinary creations get none, so that a burst of
// a thousand jobs is a thousand writes and not two.
type Recorder struct {
	client kube.Client
	log    *slog.Logger
	ch     chan *corev1.Event
}

// NewRecorder returns a Recorder that writes once Run is called.
func NewRecorder(client kube.Client, log *slog.Logger) *Recorder {
	return &Recorder{client: client, log: log, ch: make(chan *corev1.Event, 1000)}
}

// MaxEventMessage is the API server's limit on an Event's message.
const MaxEventMessage = 1024

// New returns an Event about a kjob. Its message is printable and not longer than the
// API server accepts. The reason and topic of the decision d, if it has any, become
// annotations.
func New(namespace, kjob string, uid types.UID, warning bool, reason, message string, d decide.Decision) *corev1.Event {
	now := metav1.Now()
	host, _ := os.Hostname()
	e := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%x", kjob, now.UnixNano())},
		InvolvedObject: corev1.ObjectReference{APIVersion: "batch/v1", Kind: "Job", Namespace: namespace, Name: kjob, UID: uid},
		Reason:         reason, Message: contract.Line(message, MaxEventMessage), Type: corev1.EventTypeNormal,
		Source: corev1.EventSource{Component: contract.ManagedBy, Host: host}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
		ReportingController: "onejob.dev/scheduler", ReportingInstance: host,
	}
	for name, code := range map[string]string{contract.AnnotationReason: string(d.Reason), contract.AnnotationTopic: string(d.Topic)} {
		if code != "" {
			metav1.SetMetaDataAnnotation(&e.ObjectMeta, name, code)
		}
	}
	if warning {
		e.Type = corev1.EventTypeWarning
	}
	return e
}

// Told returns the reason and topic of the decision that an Event of onejob's is about.
// For Events of others, and of older releases, it is empty.
func Told(e corev1.Event) decide.Decision {
	if e.Source.Component != contract.ManagedBy {
		return decide.Decision{}
	}
	return decide.Decision{
		Reason: decide.Reason(contract.Word(e.Annotations[contract.AnnotationReason])),
		Topic:  decide.Topic(contract.Word(e.Annotations[contract.AnnotationTopic])),
	}
}

// Event queues one; it never waits, and drops what doesn't fit.
func (r *Recorder) Event(namespace, kjob string, uid types.UID, warning bool, reason, message string, d decide.Decision) {
	e := New(namespace, kjob, uid, warning, reason, message, d)
	if (reason == Waiting || reason == Unmatched) && len(r.ch) > cap(r.ch)/2 {
		return // a thousand that wait must not crowd out one that is lost
	}
	select {
	case r.ch <- e:
	default:
	}
}

// Run writes Events until ctx ends, and then the remaining ones, for at most
// lastEvents.
func (r *Recorder) Run(ctx context.Context) {
	last, abort := context.WithCancel(context.WithoutCancel(ctx))
	defer abort()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(lastEvents, abort) })()
	for {
		select {
		case e := <-r.ch:
			r.write(last, e)
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return
		case e := <-r.ch:
			r.write(last, e)
		}
	}
}

// An API server may be away for half a minute. An Event that gets no answer for longer,
// perhaps because of a webhook, must not hold up the others for ever.
const (
	eventWithin = 5 * time.Second
	eventAgain  = 1500 * time.Millisecond
	eventTries  = 20
	lastEvents  = 2 * time.Second
)

// write creates an Event, and repeats that while there is no answer. The Event's name
// makes that harmless.
func (r *Recorder) write(ctx context.Context, e *corev1.Event) {
	for try := 1; ; try++ {
		cctx, cancel := context.WithTimeout(ctx, eventWithin)
		_, err := r.client.CoreV1().Events(e.Namespace).Create(cctx, e, metav1.CreateOptions{})
		cancel()
		if err == nil || try > 1 && apierrors.IsAlreadyExists(err) {
			return
		}
		if kube.Answered(err) || try == eventTries || !jitter.Sleep(ctx, eventAgain) {
			r.log.Debug("Event not written", "kubernetes_job", e.InvolvedObject.Name, "reason", e.Reason, "err", err)
			return
		}
	}
}
