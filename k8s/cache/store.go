package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

const (
	indexQueue = "queue" // label value of LabelQueue
	indexJob   = "job"   // label value of LabelJobID
)

// Store is what is known of one namespace: its kjobs and their pods, reduced to what
// decisions need.
type Store struct {
	Namespace string
	// installation is whose objects are shown, see kjob.Foreign.
	installation string
	Kjobs        cache.SharedIndexInformer
	Pods         cache.SharedIndexInformer
	Deleted      Tombstones
	Connection   *Connection
	sights       sights
	whole        atomic.Bool // the first lists are complete
}

// Handlers are called from the informers' goroutines and must not wait.
type Handlers struct {
	Kjob func(old, new *Job, deleted bool)
	Pod  func(pod *Pod, deleted bool)
}

// New returns the Store of what an installation has in a namespace, empty until
// Run has filled it. It sends its requests through client; h is called about changes,
// and b learns whether the API server answers. skew is how far that server's clock is
// ahead of ours.
func New(client kube.Client, log *slog.Logger, namespace, installation string, h Handlers, b *kube.Breaker, skew func() time.Duration) (*Store, error) {
	indexers := cache.Indexers{
		indexQueue: func(o any) ([]string, error) { return key(o.(entry).of().Queue), nil },
		indexJob:   func(o any) ([]string, error) { return key(o.(entry).of().ID.String()), nil },
	}
	l := NewConnection(log.With("namespace", namespace), b)
	s := &Store{
		Namespace: namespace, installation: installation, Connection: l, sights: sights{skew: skew, of: map[types.UID]*sight{}},
		Kjobs: l.kjobs(client, namespace, indexers),
		Pods:  l.pods(client, namespace, maps.Clone(indexers)),
	}
	for informer, trim := range map[cache.SharedIndexInformer]cache.TransformFunc{s.Kjobs: s.see(jobOf), s.Pods: s.see(podOf)} {
		if err := informer.SetTransform(trim); err != nil {
			return nil, err
		}
	}
	_, err := s.Kjobs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { h.Kjob(nil, o.(*Job), false) },
		UpdateFunc: func(old, o any) { h.Kjob(old.(*Job), o.(*Job), false) },
		DeleteFunc: func(o any) {
			if k, ok := final(o).(*Job); ok {
				s.Deleted.add(Tombstone{Kjob: k})
				s.sights.forget(k.UID)
				h.Kjob(nil, k, true)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	_, err = s.Pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { h.Pod(o.(*Pod), false) },
		UpdateFunc: func(_, o any) { h.Pod(o.(*Pod), false) },
		DeleteFunc: func(o any) {
			if p, ok := final(o).(*Pod); ok {
				s.Deleted.add(Tombstone{Pod: p})
				s.sights.forget(p.UID)
				h.Pod(p, true)
			}
		},
	})
	return s, err
}

// final unwraps the tombstone of an object whose deletion the watch missed.
func final(o any) any {
	if t, ok := o.(cache.DeletedFinalStateUnknown); ok {
		return t.Obj
	}
	return o
}

// see is trim with our times.
func (s *Store) see(trim cache.TransformFunc) cache.TransformFunc {
	return func(o any) (any, error) {
		if _, again := o.(entry); again { // a reflector's own store has done it
			return o, nil
		}
		switch o := o.(type) {
		case *batchv1.Job:
			if kjob.Foreign(o.Labels, s.installation) {
				return &Job{Object: bare(&o.ObjectMeta)}, nil
			}
		case *corev1.Pod:
			if kjob.Foreign(o.Labels, s.installation) {
				return &Pod{Object: bare(&o.ObjectMeta)}, nil
			}
		}
		o, err := trim(o)
		switch o := o.(type) {
		case *Job:
			s.sights.kjob(o, !s.whole.Load())
		case *Pod:
			s.sights.pod(o, !s.whole.Load())
		}
		return o, err
	}
}

// Run starts both informers.
func (s *Store) Run(ctx context.Context, start func(func())) {
	start(func() {
		if cache.WaitForCacheSync(ctx.Done(), s.Kjobs.HasSynced, s.Pods.HasSynced) {
			s.whole.Store(true)
		}
	})
	start(func() { s.Kjobs.Run(ctx.Done()) })
	start(func() { s.Pods.Run(ctx.Done()) })
}

// Stale reports whether the caches may show the past.
func (s *Store) Stale() bool { return s.Connection.stale() }

// AnsweredAgainAt is when the API server answered again after an outage: now if it
// doesn't yet, zero if there was none.
func (s *Store) AnsweredAgainAt() time.Time { return s.Connection.AnsweredAgainAt() }

// Synced reports whether both informers have been filled.
func (s *Store) Synced() bool { return s.Kjobs.HasSynced() && s.Pods.HasSynced() }

// Filled returns when both informers have been filled.
func (s *Store) Filled(ctx context.Context, within time.Duration) error {
	cctx, cancel := context.WithTimeoutCause(ctx, within, errors.New("not done yet: does it exist, and does the Role allow it?"))
	defer cancel()
	if !cache.WaitForCacheSync(cctx.Done(), s.Kjobs.HasSynced, s.Pods.HasSynced) {
		return fmt.Errorf("listing Kubernetes Jobs and pods in namespace %s: %w", s.Namespace, context.Cause(cctx))
	}
	return nil
}

// key is an index's key, none if it is empty.
func key(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// KjobsOf returns a job's kjobs, the last attempt last.
func (s *Store) KjobsOf(id contract.JobID) []*Job {
	ks := indexed[Job](s.Kjobs, indexJob, id.String())
	slices.SortFunc(ks, func(a, b *Job) int { return a.Attempt - b.Attempt })
	return ks
}

// Kjob returns the installation's kjob of a name, nil if there is none.
func (s *Store) Kjob(name string) *Job {
	o, _, _ := s.Kjobs.GetIndexer().GetByKey(s.Namespace + "/" + name)
	if k, ok := o.(*Job); ok && k.Queue != "" {
		return k
	}
	return nil
}

// PodsOf returns the pods of all attempts at a job.
func (s *Store) PodsOf(id contract.JobID) []*Pod {
	return indexed[Pod](s.Pods, indexJob, id.String())
}

// PodsOfKjob returns the pods of a kjob, without those of earlier kjobs with the same
// name.
func (s *Store) PodsOfKjob(k *Job) (of []decide.Pod) {
	for _, p := range s.PodsOf(k.ID) {
		if p.KjobUID == k.UID {
			of = append(of, p.Pod)
		}
	}
	return of
}

// KjobsIn returns a queue's kjobs and placeholders.
func (s *Store) KjobsIn(queueLabel string) []*Job {
	return indexed[Job](s.Kjobs, indexQueue, queueLabel)
}

// PodsIn returns a queue's pods.
func (s *Store) PodsIn(queueLabel string) []*Pod {
	return indexed[Pod](s.Pods, indexQueue, queueLabel)
}

func indexed[T any](i cache.SharedIndexInformer, index, value string) []*T {
	objs, _ := i.GetIndexer().ByIndex(index, value)
	out := make([]*T, 0, len(objs))
	for _, o := range objs {
		if v, ok := o.(*T); ok {
			out = append(out, v)
		}
	}
	return out
}
