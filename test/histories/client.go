package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	coreclient "k8s.io/client-go/kubernetes/typed/core/v1"
)

// client is one scheduler's way to the API server: the fake clientset, with
// kjobs and pods in the history's cluster and trouble on the way there.
type client struct {
	kubernetes.Interface
	s *instance
}

type (
	batchOf struct {
		batchclient.BatchV1Interface
		s *instance
	}
	coreOf struct {
		coreclient.CoreV1Interface
		s *instance
	}
	jobsOf struct {
		batchclient.JobInterface
		s *instance
	}
	podsOf struct {
		coreclient.PodInterface
		s *instance
	}
	eventsOf struct {
		coreclient.EventInterface
		s *instance
	}
)

func (c client) BatchV1() batchclient.BatchV1Interface { return batchOf{c.Interface.BatchV1(), c.s} }
func (c client) CoreV1() coreclient.CoreV1Interface    { return coreOf{c.Interface.CoreV1(), c.s} }

// IsWatchListSemanticsUnSupported makes informers list and then watch.
func (c client) IsWatchListSemanticsUnSupported() bool { return true }

func (b batchOf) Jobs(ns string) batchclient.JobInterface {
	return jobsOf{b.BatchV1Interface.Jobs(ns), b.s}
}
func (c coreOf) Pods(ns string) coreclient.PodInterface {
	return podsOf{c.CoreV1Interface.Pods(ns), c.s}
}
func (c coreOf) Events(ns string) coreclient.EventInterface {
	return eventsOf{c.CoreV1Interface.Events(ns), c.s}
}

func (j jobsOf) Create(ctx context.Context, k *batchv1.Job, o metav1.CreateOptions) (*batchv1.Job, error) {
	if len(o.DryRun) > 0 {
		return k, j.s.kube(ctx, "dry-run", k.Name, func(bool) {})
	}
	j.s.checkCreate(k)
	var made *batchv1.Job
	var err error
	carried := j.s.kube(ctx, "create", k.Name, func(inTime bool) { made, err = j.s.h.create(j.s, k, inTime) })
	if carried != nil {
		return nil, carried
	}
	return made, err
}

func (j jobsOf) Get(ctx context.Context, name string, _ metav1.GetOptions) (*batchv1.Job, error) {
	var k *batchv1.Job
	if carried := j.s.kube(ctx, "get", name, func(bool) { k = j.s.h.cluster.kjob(name) }); carried != nil {
		return nil, carried
	}
	if k == nil {
		return nil, apierrors.NewNotFound(schema.GroupResource{Group: "batch", Resource: "jobs"}, name)
	}
	return k, nil
}

func (j jobsOf) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	var err error
	uid := ""
	if o.Preconditions != nil && o.Preconditions.UID != nil {
		uid = string(*o.Preconditions.UID)
	}
	j.s.checkDelete(name, uid)
	if carried := j.s.kube(ctx, "delete", name, func(bool) { err = j.s.h.deleteKjob(name, uid, "scheduler", false) }); carried != nil {
		return carried
	}
	return err
}

func (j jobsOf) List(ctx context.Context, o metav1.ListOptions) (*batchv1.JobList, error) {
	list := &batchv1.JobList{}
	if err := j.s.kube(ctx, "list", kindJobs, func(bool) {
		rv := j.s.h.listAt(j.s, kindJobs, o.ResourceVersion)
		list.ResourceVersion = strconv.Itoa(rv)
		for _, x := range j.s.h.cluster.asOf(kindJobs, rv) {
			list.Items = append(list.Items, *x.(*batchv1.Job))
		}
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b batchv1.Job) int { return byName(a.Name, b.Name) })
	for i := range list.Items {
		j.s.sees(&list.Items[i])
	}
	return list, nil
}

func (p podsOf) List(ctx context.Context, o metav1.ListOptions) (*corev1.PodList, error) {
	list := &corev1.PodList{}
	if err := p.s.kube(ctx, "list", kindPods, func(bool) {
		rv := p.s.h.listAt(p.s, kindPods, o.ResourceVersion)
		list.ResourceVersion = strconv.Itoa(rv)
		for _, x := range p.s.h.cluster.asOf(kindPods, rv) {
			list.Items = append(list.Items, *x.(*corev1.Pod))
		}
	}); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return byName(a.Name, b.Name) })
	return list, nil
}

func (j jobsOf) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return j.s.watch(ctx, kindJobs, o)
}

func (p podsOf) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	return p.s.watch(ctx, kindPods, o)
}

func (s *instance) watch(ctx context.Context, kind string, o metav1.ListOptions) (watch.Interface, error) {
	from, _ := strconv.Atoi(o.ResourceVersion)
	var w *watcher
	if err := s.kube(ctx, "watch", kind, func(inTime bool) {
		if inTime {
			w = s.h.cluster.watch(s, kind, from)
		}
	}); err != nil {
		if w != nil {
			w.Stop()
		}
		return nil, err
	}
	s.h.mu.Lock()
	s.watches = append(s.watches, w)
	s.h.mu.Unlock()
	return w, nil
}

func (e eventsOf) Create(ctx context.Context, ev *corev1.Event, o metav1.CreateOptions) (*corev1.Event, error) {
	var made *corev1.Event
	var err error
	if carried := e.s.kube(ctx, "create event", ev.Name, func(bool) { made, err = e.EventInterface.Create(ctx, ev, o) }); carried != nil {
		return nil, carried
	}
	return made, err
}

func (e eventsOf) List(ctx context.Context, o metav1.ListOptions) (*corev1.EventList, error) {
	var l *corev1.EventList
	var err error
	if carried := e.s.kube(ctx, "list", "events", func(bool) { l, err = e.EventInterface.List(ctx, o) }); carried != nil {
		return nil, carried
	}
	return l, err
}

// kube carries a request to the API server. apply may come long after it has
// returned: what apply writes must not be what the caller then returns.
func (s *instance) kube(ctx context.Context, verb, what string, apply func(inTime bool)) error {
	t := s.befalls("kube", verb, what)
	if t == answers409 || t == overQuota {
		if verb != "create" {
			t = answers503
		} else if t == overQuota {
			s.h.note("%s: create %s: 403 quota", s, what)
			return apierrors.NewForbidden(schema.GroupResource{Group: "batch", Resource: "jobs"}, what, errQuota)
		}
	}
	sent := time.Now()
	switch err := s.carry(ctx, t, verb+" "+what, apply); {
	case err == nil:
		if s.h.clocksAreSet() {
			s.skew.Learn(s.h.kubeNow().UTC().Format(http.TimeFormat), sent, time.Now())
		}
		return nil
	case errors.Is(err, errUnavailable):
		return unavailable()
	case errors.Is(err, errLimited):
		return apierrors.NewTooManyRequests("slow down", 1)
	case errors.Is(err, errConflict):
		return conflict(what)
	default:
		return err
	}
}

// create is the API server's share of a create: the name is the lock.
func (h *history) create(s *instance, k *batchv1.Job, inTime bool) (*batchv1.Job, error) {
	c := h.cluster
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kjobs[k.Name] != nil {
		return nil, apierrors.NewAlreadyExists(schema.GroupResource{Group: "batch", Resource: "jobs"}, k.Name)
	}
	h.created(s, k, inTime)
	c.uids++
	k = k.DeepCopy()
	k.UID, k.CreationTimestamp = types.UID(fmt.Sprint("uid-", c.uids)), metav1.NewTime(h.kubeNow())
	c.write(watch.Added, k)
	h.startPod(s, k)
	return k, nil
}

// listAt is the resource version that a list is answered from. One for version
// 0 comes from the API server's own cache, which may be late too.
func (h *history) listAt(s *instance, kind, asked string) int {
	at := time.Now()
	if asked == "0" {
		at = at.Add(-h.lagOf(s, kind, -h.count(s, "list "+kind)))
	}
	rv := h.cluster.before(at)
	if n, err := strconv.Atoi(asked); err == nil && n > rv {
		rv = n
	}
	return rv
}

func byName(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
