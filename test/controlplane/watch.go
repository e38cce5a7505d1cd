package controlplane

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers/batch/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Kjob is a Kubernetes Job as a watch has shown it.
type Kjob struct {
	Name string
	// Job is the UUID of the Buildkite job that it is for.
	Job string
	// Seen is when the watch showed it first, Over when it showed it finished
	// or gone; zero if it hasn't.
	Seen, Over time.Time
}

// Watch keeps every Job of a namespace that there ever was. The API server
// sends the changes in their order, so that what is counted after each of them
// has been true at some moment; but not after an outage of the API server, when
// they are listed anew. It is safe for concurrent use.
type Watch struct {
	mu         sync.Mutex
	kjobs      map[types.UID]*Kjob
	order      []*Kjob
	byJob      map[string]int // unfinished ones
	jobs       map[string]bool
	unfinished int
	most       int
	twice      []string
	changed    chan struct{}
}

func watchKjobs(ctx context.Context, client kubernetes.Interface, namespace string) (*Watch, error) {
	w := &Watch{kjobs: map[types.UID]*Kjob{}, byJob: map[string]int{}, jobs: map[string]bool{}, changed: make(chan struct{})}
	informer := v1.NewJobInformer(client, namespace, 0, nil)
	// The cache is the informer's own need: it keeps names and labels.
	err := informer.SetTransform(func(o any) (any, error) {
		if k, isJob := o.(*batchv1.Job); isJob {
			meta := metav1.ObjectMeta{Name: k.Name, Namespace: k.Namespace, UID: k.UID, Labels: k.Labels, ResourceVersion: k.ResourceVersion}
			return &batchv1.Job{ObjectMeta: meta, Status: batchv1.JobStatus{Conditions: k.Status.Conditions}}, nil
		}
		return o, nil
	})
	if err != nil {
		return nil, err
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.see(o.(*batchv1.Job), false) },
		UpdateFunc: func(_, o any) { w.see(o.(*batchv1.Job), false) },
		DeleteFunc: func(o any) {
			if t, missed := o.(cache.DeletedFinalStateUnknown); missed {
				o = t.Obj
			}
			w.see(o.(*batchv1.Job), true)
		},
	})
	if err != nil {
		return nil, err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("watching kjobs: %w", context.Cause(ctx))
	}
	return w, nil
}

func (w *Watch) see(o *batchv1.Job, gone bool) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	k := w.kjobs[o.UID]
	if k == nil {
		k = &Kjob{Name: o.Name, Job: jobOf(o), Seen: now}
		w.kjobs[o.UID] = k
		w.order = append(w.order, k)
		w.jobs[k.Job] = true
		w.unfinished++
		w.most = max(w.most, w.unfinished)
		if w.byJob[k.Job]++; w.byJob[k.Job] > 1 {
			w.twice = append(w.twice, k.Name)
		}
	}
	if k.Over.IsZero() && (gone || finished(o)) {
		k.Over = now
		w.unfinished--
		w.byJob[k.Job]--
	}
	close(w.changed)
	w.changed = make(chan struct{})
}

func finished(k *batchv1.Job) bool {
	return slices.ContainsFunc(k.Status.Conditions, func(c batchv1.JobCondition) bool {
		return (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue
	})
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

// jobOf finds a Buildkite job's UUID where schedulers put it: in the name, or in
// a label.
func jobOf(o metav1.Object) string {
	if id := uuid.FindString(o.GetName()); id != "" {
		return id
	}
	for _, key := range []string{"onejob.dev/job-id", "buildkite.com/job-uuid"} {
		if id := uuid.FindString(o.GetLabels()[key]); id != "" {
			return id
		}
	}
	return o.GetName()
}

// Wait returns nil when cond holds, which is asked at once and after each
// change; or the cause of ctx's end.
func (w *Watch) Wait(ctx context.Context, cond func() bool) error {
	for {
		w.mu.Lock()
		changed := w.changed
		w.mu.Unlock()
		if cond() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// ErrTooFew is returned by WaitFor.
var ErrTooFew = errors.New("too few kjobs")

// WaitFor returns nil when n jobs have, or had, a kjob.
func (w *Watch) WaitFor(ctx context.Context, n int) error {
	if err := w.Wait(ctx, func() bool { return w.Jobs() >= n }); err != nil {
		return fmt.Errorf("%w: %d of %d jobs have one: %w", ErrTooFew, w.Jobs(), n, err)
	}
	return nil
}

// Jobs is how many jobs have, or had, a kjob.
func (w *Watch) Jobs() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.jobs)
}

// Kjobs returns every kjob there ever was, in the order of their making.
func (w *Watch) Kjobs() []Kjob {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]Kjob, 0, len(w.order))
	for _, k := range w.order {
		out = append(out, *k)
	}
	return out
}

// Made is how many kjobs there ever were.
func (w *Watch) Made() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.order)
}

// Unfinished is how many kjobs are unfinished now.
func (w *Watch) Unfinished() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unfinished
}

// Most is the most kjobs that were unfinished at a time.
func (w *Watch) Most() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

// Twice are the kjobs that came while another of the same job was unfinished.
func (w *Watch) Twice() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.twice)
}
