package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
)

// Behaviour is what a pod does once it has a node, until it returns. Its ctx ends
// when the pod is deleted, or the Kubelet closed.
type Behaviour func(ctx context.Context, r *Runner)

// Kubelet is a fake one of a Fixture's pods, and the runner in each of them.
type Kubelet struct {
	set       *Fixture
	behaviour Behaviour
	http      *http.Client
	ctx       context.Context
	stop      context.CancelFunc
	wg        sync.WaitGroup

	mu   sync.Mutex
	acts map[types.UID]context.CancelCauseFunc
}

// ErrDeleted is the cause with which a Behaviour's ctx ends when its pod is deleted.
var ErrDeleted = errors.New("the pod is being deleted")

// RunKubelet has every pod of the fixture that gets a node behave so. Close ends it.
func (s *Fixture) RunKubelet(ctx context.Context, behaviour Behaviour) (*Kubelet, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 64
	p := &Kubelet{set: s, behaviour: behaviour, http: &http.Client{Transport: transport}, acts: map[types.UID]context.CancelCauseFunc{}}
	p.ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	informer := corev1informers.NewPodInformer(s.Kube, s.Namespace, 0, nil)
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { p.see(o.(*corev1.Pod)) },
		UpdateFunc: func(_, o any) { p.see(o.(*corev1.Pod)) },
		DeleteFunc: func(o any) {
			if t, missed := o.(cache.DeletedFinalStateUnknown); missed {
				o = t.Obj
			}
			p.end(o.(*corev1.Pod).UID)
		},
	})
	if err != nil {
		return nil, err
	}
	p.wg.Go(func() { informer.RunWithContext(p.ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		p.Close()
		return nil, fmt.Errorf("watching pods: %w", context.Cause(ctx))
	}
	return p, nil
}

// Close ends every behaviour.
func (p *Kubelet) Close() {
	p.stop()
	p.wg.Wait()
	p.http.CloseIdleConnections()
}

// see begins the behaviour of a pod that has just got a node, and ends that of one
// which is to go.
func (p *Kubelet) see(pod *corev1.Pod) {
	if pod.Spec.NodeName == "" || p.ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	cancel, begun := p.acts[pod.UID]
	switch {
	case pod.DeletionTimestamp != nil && begun:
		cancel(ErrDeleted)
	case pod.DeletionTimestamp != nil:
		p.wg.Go(func() { p.remove(pod) })
	case !begun && pod.Status.Phase == corev1.PodPending:
		ctx, cancel := context.WithCancelCause(p.ctx)
		p.acts[pod.UID] = cancel
		p.wg.Go(func() {
			defer cancel(nil)
			p.behaviour(ctx, &Runner{kubelet: p, Pod: pod, Job: jobOf(pod)})
			if errors.Is(context.Cause(ctx), ErrDeleted) {
				p.remove(pod)
			}
		})
	}
}

func (p *Kubelet) end(uid types.UID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cancel := p.acts[uid]; cancel != nil {
		cancel(ErrDeleted)
		delete(p.acts, uid)
	}
}

// remove is the kubelet's last word on a pod that is being deleted.
func (p *Kubelet) remove(pod *corev1.Pod) {
	var now int64
	p.insist(func(ctx context.Context) error {
		return p.set.Kube.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &pod.UID},
		})
	})
}

// insist repeats a write until the API server has taken it or the object is
// gone.
func (p *Kubelet) insist(write func(context.Context) error) {
	for {
		ctx, cancel := context.WithTimeout(p.ctx, 10*time.Second)
		err := write(ctx)
		cancel()
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || sleep(p.ctx, 500*time.Millisecond) != nil {
			return
		}
	}
}
