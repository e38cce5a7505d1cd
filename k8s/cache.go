package k8s

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	batchinformers "k8s.io/client-go/informers/batch/v1"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
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
}

// handlers are called from the informers' goroutines and must not wait.
type handlers struct {
	kjob func(old, new *batchv1.Job, deleted bool)
	pod  func(pod *corev1.Pod, deleted bool)
}

func newStore(client kubernetes.Interface, namespace string, h handlers) (*store, error) {
	tweak := func(o *metav1.ListOptions) { o.LabelSelector = contract.LabelQueue }
	indexers := cache.Indexers{indexQueue: byLabel(contract.LabelQueue), indexJob: byLabel(contract.LabelJobID)}
	s := &store{
		namespace: namespace,
		kjobs:     batchinformers.NewFilteredJobInformer(client, namespace, 0, indexers, tweak),
		pods:      coreinformers.NewFilteredPodInformer(client, namespace, 0, maps.Clone(indexers), tweak),
	}
	for informer, trim := range map[cache.SharedIndexInformer]cache.TransformFunc{s.kjobs: trimKjob, s.pods: trimPod} {
		if err := informer.SetTransform(trim); err != nil {
			return nil, err
		}
	}
	_, err := s.kjobs.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { h.kjob(nil, o.(*batchv1.Job), false) },
		UpdateFunc: func(old, o any) { h.kjob(old.(*batchv1.Job), o.(*batchv1.Job), false) },
		DeleteFunc: func(o any) {
			if k, ok := final(o).(*batchv1.Job); ok {
				s.deleted.add(deletion{kjob: k})
				h.kjob(nil, k, true)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	_, err = s.pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { h.pod(o.(*corev1.Pod), false) },
		UpdateFunc: func(_, o any) { h.pod(o.(*corev1.Pod), false) },
		DeleteFunc: func(o any) {
			if p, ok := final(o).(*corev1.Pod); ok {
				s.deleted.add(deletion{pod: p})
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

// run starts both informers.
func (s *store) run(ctx context.Context, start func(func())) {
	start(func() { s.kjobs.Run(ctx.Done()) })
	start(func() { s.pods.Run(ctx.Done()) })
}

// filled returns when both informers have been filled.
func (s *store) filled(ctx context.Context, within time.Duration) error {
	cctx, cancel := context.WithTimeoutCause(ctx, within, errors.New("not done yet: does it exist, and does the Role allow it?"))
	defer cancel()
	if !cache.WaitForCacheSync(cctx.Done(), s.kjobs.HasSynced, s.pods.HasSynced) {
		return fmt.Errorf("listing kjobs and pods in namespace %s: %w", s.namespace, context.Cause(cctx))
	}
	return nil
}

func byLabel(label string) cache.IndexFunc {
	return func(o any) ([]string, error) {
		if m, ok := o.(metav1.Object); ok {
			if v := m.GetLabels()[label]; v != "" {
				return []string{v}, nil
			}
		}
		return nil, nil
	}
}

// kjobsOf returns a job's kjobs, the last attempt last.
func (s *store) kjobsOf(id contract.JobID) []*batchv1.Job {
	ks := indexed[batchv1.Job](s.kjobs, indexJob, id.String())
	slices.SortFunc(ks, func(a, b *batchv1.Job) int { return attemptOf(a) - attemptOf(b) })
	return ks
}

func (s *store) kjob(name string) *batchv1.Job {
	o, ok, _ := s.kjobs.GetIndexer().GetByKey(s.namespace + "/" + name)
	if !ok {
		return nil
	}
	return o.(*batchv1.Job)
}

func (s *store) podsOf(id contract.JobID) []*corev1.Pod {
	return indexed[corev1.Pod](s.pods, indexJob, id.String())
}

func (s *store) kjobsIn(queueLabel string) []*batchv1.Job {
	return indexed[batchv1.Job](s.kjobs, indexQueue, queueLabel)
}

func (s *store) podsIn(queueLabel string) []*corev1.Pod {
	return indexed[corev1.Pod](s.pods, indexQueue, queueLabel)
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

// attemptOf is the number in a kjob's label, at least 1.
func attemptOf(o metav1.Object) int {
	n, _ := strconv.Atoi(o.GetLabels()[contract.LabelAttempt])
	return max(n, 1)
}

// kjobName is the name of the kjob that a pod belongs to.
func kjobName(p *corev1.Pod) string {
	for _, r := range p.OwnerReferences {
		if r.Kind == "Job" {
			return r.Name
		}
	}
	return p.Labels[batchv1.JobNameLabel]
}

// kjobUID is the UID of the kjob that a pod belongs to.
func kjobUID(p *corev1.Pod) types.UID {
	for _, r := range p.OwnerReferences {
		if r.Kind == "Job" {
			return r.UID
		}
	}
	return ""
}

// trimKjob keeps of a kjob what decisions, reports and the next attempt need:
// 5,000 of them are 10 MiB and not 60.
func trimKjob(o any) (any, error) {
	k, ok := o.(*batchv1.Job)
	if !ok {
		return o, nil
	}
	return &batchv1.Job{
		ObjectMeta: trimMeta(&k.ObjectMeta),
		Spec:       batchv1.JobSpec{Suspend: k.Spec.Suspend, ActiveDeadlineSeconds: k.Spec.ActiveDeadlineSeconds},
		Status: batchv1.JobStatus{
			Conditions: k.Status.Conditions, StartTime: k.Status.StartTime, CompletionTime: k.Status.CompletionTime,
			Active: k.Status.Active, Succeeded: k.Status.Succeeded, Failed: k.Status.Failed, Ready: k.Status.Ready,
		},
	}, nil
}

func trimPod(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}
	t := &corev1.Pod{
		ObjectMeta: trimMeta(&p.ObjectMeta),
		Spec:       corev1.PodSpec{NodeName: p.Spec.NodeName},
		Status: corev1.PodStatus{
			Phase: p.Status.Phase, Reason: p.Status.Reason, Message: p.Status.Message, StartTime: p.Status.StartTime,
			Conditions: p.Status.Conditions, ContainerStatuses: p.Status.ContainerStatuses, InitContainerStatuses: p.Status.InitContainerStatuses,
		},
	}
	t.Annotations = nil
	return t, nil
}

func trimMeta(m *metav1.ObjectMeta) metav1.ObjectMeta {
	out := metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion,
		CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp, OwnerReferences: m.OwnerReferences,
		Labels: map[string]string{}, Annotations: map[string]string{},
	}
	for k, v := range m.Labels {
		if strings.HasPrefix(k, "onejob.dev/") || k == batchv1.JobNameLabel {
			out.Labels[k] = v
		}
	}
	for k, v := range m.Annotations {
		if strings.HasPrefix(k, "onejob.dev/") {
			out.Annotations[k] = v
		}
	}
	return out
}
