package cache

import (
	"context"
	"log/slog"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// Connection is a store's connection to the API server. The informers' own backoff
// doubles up to a minute, and after an outage the caches would be out of date for as
// long: slots stay held, and pods that ran meanwhile seem never to have started. So a
// list or a watch that gets no answer is repeated here every few seconds, and the
// informer sees only answers.
type Connection struct {
	log     *slog.Logger
	breaker *kube.Breaker

	mu      sync.Mutex
	failing map[string]bool // by resource
	mended  time.Time
}

// NewConnection returns a Connection that tells b what it hears.
func NewConnection(log *slog.Logger, b *kube.Breaker) *Connection {
	return &Connection{log: log, breaker: b, failing: map[string]bool{}}
}

// Settle is how long the caches may still be behind after the connection works again.
const Settle = 2 * time.Second

// stale reports whether the caches may show the past.
func (l *Connection) stale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failing) > 0 || time.Since(l.mended) < Settle
}

// AnsweredAgainAt is when the connection last worked again after a failure: now if it
// still fails, zero if it never did.
func (l *Connection) AnsweredAgainAt() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.failing) > 0 {
		return time.Now()
	}
	return l.mended
}

// Note records the result of a call that was sent at the given time.
func (l *Connection) Note(resource string, sent time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch was := l.failing[resource]; {
	case err != nil && !was:
		l.failing[resource] = true
		l.breaker.Unanswered(time.Time{}) // puts it on, and never prolongs it
		l.log.Warn("the API server doesn't answer; until it does, the cache is out of date", "resource", resource, "err", err)
	case err == nil && was:
		delete(l.failing, resource)
		l.mended = time.Now()
		l.breaker.Answered(sent)
		l.log.Info("the API server answers again", "resource", resource)
	}
}

// untilAnswered repeats a call until it is answered or ctx ends.
func untilAnswered[T any](ctx context.Context, l *Connection, resource string, call func() (T, error)) (T, error) {
	for n := 0; ; n++ {
		sent := time.Now()
		v, err := call()
		switch {
		case kube.Answered(err):
			l.Note(resource, sent, nil)
			return v, err
		case ctx.Err() != nil:
			return v, err
		}
		l.Note(resource, sent, err)
		wait := jitter.Doubled(kube.BreakerFirst, kube.BreakerMax, n)
		if after, told := apierrors.SuggestsClientDelay(err); told {
			wait = max(wait, time.Duration(after)*time.Second)
		}
		if !jitter.Sleep(ctx, jitter.AtLeast(wait)) {
			return v, err
		}
	}
}

// informer makes an informer of a namespace's objects that have a queue's label.
func (l *Connection) informer(
	client kube.Client, resource string, example runtime.Object, indexers cache.Indexers,
	list func(context.Context, metav1.ListOptions) (runtime.Object, error),
	follow func(context.Context, metav1.ListOptions) (watch.Interface, error),
) cache.SharedIndexInformer {
	return cache.NewSharedIndexInformerWithOptions(cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = contract.LabelQueue
			return untilAnswered(ctx, l, resource, func() (runtime.Object, error) { return list(ctx, o) })
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = contract.LabelQueue
			return untilAnswered(ctx, l, resource, func() (watch.Interface, error) { return follow(ctx, o) })
		},
	}, client), example, cache.SharedIndexInformerOptions{Indexers: indexers})
}

func (l *Connection) kjobs(client kube.Client, namespace string, indexers cache.Indexers) cache.SharedIndexInformer {
	jobs := client.BatchV1().Jobs(namespace)
	return l.informer(client, "jobs", &batchv1.Job{}, indexers,
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return jobs.List(ctx, o) }, jobs.Watch)
}

func (l *Connection) pods(client kube.Client, namespace string, indexers cache.Indexers) cache.SharedIndexInformer {
	pods := client.CoreV1().Pods(namespace)
	return l.informer(client, "pods", &corev1.Pod{}, indexers,
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return pods.List(ctx, o) }, pods.Watch)
}
