package main

import (
	"strconv"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
)

// cluster holds the kjobs and pods of a history with resource versions and the
// log of their changes, which the tracker of the fake clientset doesn't have:
// without them a cache can't be late, nor a watch expire. Stored objects are
// never written to; a change stores another one.
type cluster struct {
	h     *history
	mu    sync.Mutex
	kjobs map[string]*batchv1.Job
	pods  map[string]*corev1.Pod
	// log's index is the resource version. No API server has a version 0, which
	// reflectors take for "any" ever after; 1 is something that isn't ours.
	log   []change
	grown chan struct{}
	uids  int
}

// change is one entry of the log.
type change struct {
	watch.Event
	kind, name string
	at         time.Time
}

const kindJobs, kindPods = "jobs", "pods"

func newCluster(h *history) *cluster {
	return &cluster{h: h, kjobs: map[string]*batchv1.Job{}, pods: map[string]*corev1.Pod{}, log: make([]change, 2, 128), grown: make(chan struct{})}
}

// write stores an object, or its end, and tells the watches. Callers hold c.mu.
func (c *cluster) write(t watch.EventType, o runtime.Object) {
	m := o.(metav1.Object)
	m.SetResourceVersion(strconv.Itoa(len(c.log)))
	e := change{Event: watch.Event{Type: t, Object: o}, name: m.GetName(), at: time.Now()}
	switch o := o.(type) {
	case *batchv1.Job:
		e.kind, c.kjobs[o.Name] = kindJobs, o
		if t == watch.Deleted {
			delete(c.kjobs, o.Name)
		}
	case *corev1.Pod:
		e.kind, c.pods[o.Name] = kindPods, o
		if t == watch.Deleted {
			delete(c.pods, o.Name)
		}
	}
	c.log = append(c.log, e)
	close(c.grown)
	c.grown = make(chan struct{})
}

// at is the log's entry i, or what to wait for until there is one.
func (c *cluster) at(i int) (change, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i < len(c.log) {
		return c.log[i], nil
	}
	return change{}, c.grown
}

// asOf is what there was of a kind after the log's entry i.
func (c *cluster) asOf(kind string, i int) map[string]runtime.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]runtime.Object{}
	for _, e := range c.log[1 : i+1] {
		if e.kind != kind {
			continue
		}
		out[e.name] = e.Object
		if e.Type == watch.Deleted {
			delete(out, e.name)
		}
	}
	return out
}

// before is the resource version that there was at a time.
func (c *cluster) before(t time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := len(c.log) - 1
	for i > 1 && c.log[i].at.After(t) {
		i--
	}
	return i
}

func (c *cluster) changeKjob(name string, uid string, f func(k *batchv1.Job)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k := c.kjobs[name]; k != nil && string(k.UID) == uid {
		k = k.DeepCopy()
		f(k)
		c.write(watch.Modified, k)
	}
}

func (c *cluster) changePod(name string, f func(p *corev1.Pod)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pods[name]; p != nil {
		p = p.DeepCopy()
		f(p)
		c.write(watch.Modified, p)
	}
}

func (c *cluster) removePod(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pods[name]; p != nil {
		c.write(watch.Deleted, p.DeepCopy())
	}
}

// removeKjob takes a kjob away, or marks it as terminating when it has to wait
// for its pods (propagation in the foreground).
func (c *cluster) removeKjob(name, uid string, foreground bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.kjobs[name]
	switch {
	case k == nil:
		return apierrors.NewNotFound(schema.GroupResource{Group: "batch", Resource: "jobs"}, name)
	case uid != "" && string(k.UID) != uid:
		return conflict(name)
	}
	k = k.DeepCopy()
	if foreground {
		if k.DeletionTimestamp == nil {
			now := metav1.NewTime(c.h.kubeNow())
			k.DeletionTimestamp = &now
			c.write(watch.Modified, k)
		}
		return nil
	}
	c.write(watch.Deleted, k)
	return nil
}

func (c *cluster) kjob(name string) *batchv1.Job {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kjobs[name]
}

// watcher delivers the log to one informer, late and in order.
type watcher struct {
	s    *instance
	kind string
	out  chan watch.Event
	stop chan struct{}
	once sync.Once
	drop chan watch.Event // ends the watch, with an error event if it has a type
}

func (c *cluster) watch(s *instance, kind string, from int) *watcher {
	w := &watcher{s: s, kind: kind, out: make(chan watch.Event), stop: make(chan struct{}), drop: make(chan watch.Event, 1)}
	s.h.wg.Go(func() {
		defer close(w.out)
		var last time.Time
		for i := from + 1; ; i++ {
			e, grown := c.at(i)
			for grown != nil {
				select {
				case <-grown:
					e, grown = c.at(i)
				case end := <-w.drop:
					w.end(end)
					return
				case <-w.stop:
					return
				}
			}
			if e.kind != kind {
				continue
			}
			due := e.at.Add(s.h.lagOf(s, kind, i))
			if due.Before(last) {
				due = last
			}
			last = due
			if d := time.Until(due); d > 0 {
				select {
				case <-time.After(d):
				case end := <-w.drop:
					w.end(end)
					return
				case <-w.stop:
					return
				}
			}
			s.sees(e.Object)
			select {
			case w.out <- e.Event:
			case <-w.stop:
				return
			}
		}
	})
	return w
}

func (w *watcher) end(e watch.Event) {
	if e.Type == "" {
		return
	}
	select {
	case w.out <- e:
	case <-w.stop:
	}
}

func (w *watcher) Stop()                          { w.once.Do(func() { close(w.stop) }) }
func (w *watcher) ResultChan() <-chan watch.Event { return w.out }

// expired is what a watch gets whose resource version is compacted.
func expired() watch.Event {
	st := apierrors.NewResourceExpired("too old resource version").Status()
	return watch.Event{Type: watch.Error, Object: &st}
}
