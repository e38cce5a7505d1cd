package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/contract"
)

const (
	indexQueue = "queue" // label value of LabelQueue
	indexJob   = "job"   // label value of LabelJobID
)

// store is what is known of one namespace: its kjobs and their pods, trimmed to
// what decisions need.
type store struct {
	namespace string
	kjobs     cache.SharedIndexInformer
	pods      cache.SharedIndexInformer
	deleted   deletions
	link      *link
	sights    sights
	whole     atomic.Bool // the first lists are complete
}

// handlers are called from the informers' goroutines and must not wait.
type handlers struct {
	kjob func(old, new *seenKjob, deleted bool)
	pod  func(pod *seenPod, deleted bool)
}

func newStore(client Client, log *slog.Logger, namespace string, h handlers, b *brake, skew func() time.Duration) (*store, error) {
	indexers := cache.Indexers{
		indexQueue: func(o any) ([]string, error) { return key(o.(seen).of().queue), nil },
		indexJob:   func(o any) ([]string, error) { return key(o.(seen).of().id.String()), nil },
	}
	l := newLink(log.With("namespace", namespace), b)
	s := &store{
		namespace: namespace, link: l, sights: sights{skew: skew, of: map[types.UID]*sight{}},
		kjobs: l.kjobs(client, namespace, indexers),
		pods:  l.pods(client, namespace, maps.Clone(indexers)),
	}
	for informer, trim := range map[cache.SharedIndexInformer]cache.TransformFunc{s.kjobs: s.see(seeKjob), s.pods: s.see(seePod)} {
		if err := informer.SetTransform(trim); err != nil {
			return nil, err
		}
	}
	_, err := s.kjobs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { h.kjob(nil, o.(*seenKjob), false) },
		UpdateFunc: func(old, o any) { h.kjob(old.(*seenKjob), o.(*seenKjob), false) },
		DeleteFunc: func(o any) {
			if k, ok := final(o).(*seenKjob); ok {
				s.deleted.add(deletion{kjob: k})
				s.sights.forget(k.UID)
				h.kjob(nil, k, true)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	_, err = s.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { h.pod(o.(*seenPod), false) },
		UpdateFunc: func(_, o any) { h.pod(o.(*seenPod), false) },
		DeleteFunc: func(o any) {
			if p, ok := final(o).(*seenPod); ok {
				s.deleted.add(deletion{pod: p})
				s.sights.forget(p.UID)
				h.pod(p, true)
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

// see is a transformation whose times are ours.
func (s *store) see(trim cache.TransformFunc) cache.TransformFunc {
	return func(o any) (any, error) {
		if _, again := o.(seen); again { // a reflector's own store has done it
			return o, nil
		}
		o, err := trim(o)
		switch o := o.(type) {
		case *seenKjob:
			s.sights.kjob(o, !s.whole.Load())
		case *seenPod:
			s.sights.pod(o, !s.whole.Load())
		}
		return o, err
	}
}

// run starts both informers.
func (s *store) run(ctx context.Context, start func(func())) {
	start(func() {
		if cache.WaitForCacheSync(ctx.Done(), s.kjobs.HasSynced, s.pods.HasSynced) {
			s.whole.Store(true)
		}
	})
	start(func() { s.kjobs.Run(ctx.Done()) })
	start(func() { s.pods.Run(ctx.Done()) })
}

// stale reports whether the caches may show the past.
func (s *store) stale() bool { return s.link.stale() }

// mendedAt is when the API server answered again after an outage: now if it
// doesn't yet, zero if there was none.
func (s *store) mendedAt() time.Time { return s.link.mendedAt() }

func (s *store) synced() bool { return s.kjobs.HasSynced() && s.pods.HasSynced() }

// filled returns when both informers have been filled.
func (s *store) filled(ctx context.Context, within time.Duration) error {
	cctx, cancel := context.WithTimeoutCause(ctx, within, errors.New("not done yet: does it exist, and does the Role allow it?"))
	defer cancel()
	if !cache.WaitForCacheSync(cctx.Done(), s.kjobs.HasSynced, s.pods.HasSynced) {
		return fmt.Errorf("listing kjobs and pods in namespace %s: %w", s.namespace, context.Cause(cctx))
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

// kjobsOf returns a job's kjobs, the last attempt last.
func (s *store) kjobsOf(id contract.JobID) []*seenKjob {
	ks := indexed[seenKjob](s.kjobs, indexJob, id.String())
	slices.SortFunc(ks, func(a, b *seenKjob) int { return a.attempt - b.attempt })
	return ks
}

func (s *store) kjob(name string) *seenKjob {
	o, ok, _ := s.kjobs.GetIndexer().GetByKey(s.namespace + "/" + name)
	if !ok {
		return nil
	}
	return o.(*seenKjob)
}

func (s *store) podsOf(id contract.JobID) []*seenPod {
	return indexed[seenPod](s.pods, indexJob, id.String())
}

// podsOfKjob returns the pods that were made of a kjob, and of none that had its
// name before.
func (s *store) podsOfKjob(k *seenKjob) (of []Pod) {
	for _, p := range s.podsOf(k.id) {
		if p.kjobUID == k.UID {
			of = append(of, p.Pod)
		}
	}
	return of
}

func (s *store) kjobsIn(queueLabel string) []*seenKjob {
	return indexed[seenKjob](s.kjobs, indexQueue, queueLabel)
}

func (s *store) podsIn(queueLabel string) []*seenPod {
	return indexed[seenPod](s.pods, indexQueue, queueLabel)
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
