package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	informers "k8s.io/client-go/informers/batch/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/test/fixture"
)

// span is when a watch showed a Job first, when it showed that it is over, and whether that
// was because it was deleted.
type span struct {
	created, over time.Time
	deleted       bool
}

// watch keeps the span of every Job.
type watch struct {
	mu      sync.Mutex
	spans   map[string]span
	changed chan struct{}
}

func watchJobs(ctx context.Context, client kubernetes.Interface) (*watch, error) {
	w := &watch{spans: map[string]span{}, changed: make(chan struct{})}
	informer := informers.NewJobInformer(client, fixture.Namespace, 0, nil)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { w.see(o, false) }, UpdateFunc: func(_, o any) { w.see(o, false) },
		DeleteFunc: func(o any) {
			if last, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = last.Obj
			}
			w.see(o, true)
		},
	})
	if err != nil {
		return nil, err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watching Jobs: %w", context.Cause(ctx))
	}
	return w, nil
}

// see takes what a watch shows. A Job that is gone is over, too: on a busy node a command's
// container may end later than five seconds after the runner's, and the scheduler then
// deletes the Job (helper_left).
func (w *watch) see(o any, gone bool) {
	job, now := o.(*batchv1.Job), time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.spans[job.Name]
	if s.created.IsZero() {
		s.created = now
	}
	over := gone || slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed
	})
	if over && s.over.IsZero() {
		s.over, s.deleted = now, gone
	}
	w.spans[job.Name] = s
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watch) of(job string) span {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.spans[job]
}

// wait returns when something is so, which is looked at after each change.
func (w *watch) wait(ctx context.Context, is func() bool) error {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}
