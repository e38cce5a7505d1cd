package chaos

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/test/cluster"
)

// line is one thing that happened to a job.
type line struct {
	at   time.Time
	who  string
	what string
}

// witness sees all kjobs, pods and Events come and go, and keeps the logs of all
// pods, which Kubernetes removes with them.
type witness struct {
	dir  string // of the logs that are kept
	pods corelisters.PodNamespaceLister

	mu    sync.Mutex
	lines map[string][]line         // by job ID
	last  map[string]string         // what was last said of an object
	told  map[string][]corev1.Event // of the schedulers, by job ID
}

// watchCluster starts a witness, which sees until ctx ends. stop waits for it.
func watchCluster(ctx context.Context, c *cluster.Cluster, dir string) (_ *witness, stop func(), err error) {
	w := &witness{dir: dir, lines: map[string][]line{}, last: map[string]string{}, told: map[string][]corev1.Event{}}
	f := informers.NewSharedInformerFactoryWithOptions(c.Client(), 0, informers.WithNamespace(namespace))
	w.pods = f.Core().V1().Pods().Lister().Pods(namespace)
	for _, informer := range []cache.SharedIndexInformer{f.Batch().V1().Jobs().Informer(), f.Core().V1().Pods().Informer(), f.Core().V1().Events().Informer()} {
		if _, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    func(o any) { w.see(o, false) },
			UpdateFunc: func(_, o any) { w.see(o, false) },
			DeleteFunc: func(o any) {
				if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
					o = gone.Obj
				}
				w.see(o, true)
			},
		}); err != nil {
			return nil, nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			w.keepLogs(filepath.Dir(c.LogDir))
			select {
			case <-ctx.Done():
				return
			case <-time.After(250 * time.Millisecond):
			}
		}
	})
	return w, func() { cancel(); f.Shutdown(); wg.Wait() }, nil
}

// keepLogs gives the pods' log files second names in our directory, under which
// they go on after the kubelet has removed the first.
func (w *witness) keepLogs(cluster string) {
	files, _ := filepath.Glob(filepath.Join(cluster, "node-*", "pod-logs", namespace+"_*", "*", "*.log"))
	for _, file := range files {
		container := filepath.Dir(file)
		pod := strings.Split(filepath.Base(filepath.Dir(container)), "_")[1]
		// The error is that it has the name already, or that the file is gone.
		_ = os.Link(file, filepath.Join(w.dir, pod+"."+filepath.Base(container)+"."+filepath.Base(file)))
	}
}

// add notes a line about a job.
func (w *witness) add(id, who, format string, args ...any) {
	if id == "" {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines[id] = append(w.lines[id], line{time.Now(), who, fmt.Sprintf(format, args...)})
}

// news notes what has become of an object, unless that is what was said last.
func (w *witness) news(id, object, what string) {
	w.mu.Lock()
	same := w.last[object] == what
	w.last[object] = what
	w.mu.Unlock()
	if !same {
		w.add(id, "kubernetes", "%s: %s", object, what)
	}
}

func (w *witness) see(object any, gone bool) {
	switch o := object.(type) {
	case *batchv1.Job:
		w.news(jobOf(o.Name), "kjob "+o.Name, describeKjob(o, gone))
	case *corev1.Pod:
		w.news(jobOf(o.Name), "pod "+o.Name, describePod(o, gone))
	case *corev1.Event:
		if !gone {
			id := jobOf(o.InvolvedObject.Name)
			w.news(id, "event on "+o.InvolvedObject.Name, o.Reason+": "+o.Message)
			w.mu.Lock()
			if o.Source.Component == contract.ManagedBy {
				w.told[id] = append(w.told[id], *o)
			}
			w.mu.Unlock()
		}
	}
}

func describeKjob(k *batchv1.Job, gone bool) string {
	switch {
	case gone:
		return "gone"
	case k.DeletionTimestamp != nil:
		return "being deleted"
	}
	var words []string
	for _, c := range k.Status.Conditions {
		words = append(words, string(c.Type)+" "+c.Reason+" "+c.Message)
	}
	if len(words) == 0 {
		return "made"
	}
	return strings.Join(words, "; ")
}

func describePod(p *corev1.Pod, gone bool) string {
	words := []string{string(p.Status.Phase), p.Spec.NodeName}
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Running != nil:
			words = append(words, "running")
		case c.State.Terminated != nil:
			words = append(words, fmt.Sprintf("ended with %d %s: %s", c.State.Terminated.ExitCode, c.State.Terminated.Reason, c.State.Terminated.Message))
		}
	}
	if p.DeletionTimestamp != nil {
		words = append(words, "being deleted")
	}
	if gone {
		words = append(words, "gone")
	}
	return strings.Join(words, " ")
}

// toldOf are the schedulers' Events, by job ID.
func (w *witness) toldOf() map[string][]corev1.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.told)
}

// attempts counts the kjobs that were seen for a job.
func (w *witness) attempts(id string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for object := range w.last {
		if name, ok := strings.CutPrefix(object, "kjob "); ok && jobOf(name) == id {
			n++
		}
	}
	return n
}

// livePods are the pods that have a node, aren't over and that want is true of,
// by name.
func (w *witness) livePods(want func(*corev1.Pod) bool) []*corev1.Pod {
	all, _ := w.pods.List(labels.Everything())
	all = slices.DeleteFunc(slices.Clone(all), func(p *corev1.Pod) bool {
		return p.Spec.NodeName == "" || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed || !want(p)
	})
	slices.SortFunc(all, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return all
}
