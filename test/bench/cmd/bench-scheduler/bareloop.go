package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/onejob-dev/onejob/test/controlplane"
)

// loops are how many workers the bare loops have.
var loops = []int{1, 8, 32, 100}

// bareLoop creates as many copies of a kjob as the burst had jobs, with nothing
// between the creates, and returns how many a watch has seen a second, and the
// processor time that loop and watch took.
func (b *bench) bareLoop(ctx context.Context, s *subject, sample *batchv1.Job, workers int) (rate float64, cpu time.Duration, err error) {
	client, err := kubernetes.NewForConfig(controlplane.Protobuf(b.cluster.RESTConfig()))
	if err != nil {
		return 0, 0, err
	}
	seen, before := s.Watch.Made(), ownCPU()
	g, gctx := errgroup.WithContext(ctx)
	next := make(chan *batchv1.Job, b.burst)
	for n := range b.burst {
		next <- copyOf(sample, fmt.Sprintf("bare-%d-%d-%d", workers, seen, n))
	}
	close(next)
	for range workers {
		g.Go(func() error {
			for k := range next {
				if _, err := client.BatchV1().Jobs(s.Namespace).Create(gctx, k, metav1.CreateOptions{}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, err
	}
	if err := s.Watch.Wait(ctx, func() bool { return s.Watch.Made() >= seen+b.burst }); err != nil {
		return 0, 0, err
	}
	kjobs := s.Watch.Kjobs()[seen:]
	var took samples
	for _, k := range kjobs {
		took = append(took, k.Seen.Sub(kjobs[0].Seen))
	}
	pause(ctx, time.Second) // as in the burst, the controllers begin while the writer is still at it
	cpu = ownCPU() - before
	return took.rate(), cpu, s.Clear(ctx)
}

// ownCPU is the processor time of this process, in which nothing else happens
// while a bare loop runs.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // it can't: the arguments are right
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// copyOf is a kjob as its maker sent it, under another name.
func copyOf(k *batchv1.Job, name string) *batchv1.Job {
	out := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: k.Namespace, Labels: k.Labels, Annotations: k.Annotations}, Spec: *k.Spec.DeepCopy()}
	// What the API server has put in.
	out.Spec.Selector = nil
	for _, key := range []string{"batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name", "controller-uid", "job-name"} {
		delete(out.Spec.Template.Labels, key)
	}
	return out
}
