package scheduler

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	updates "k8s.io/client-go/util/retry"
)

// LeaseOptions says which Lease to hold, and as whom.
type LeaseOptions struct {
	Namespace, Name string
	// Identity is unique to the process: the pod's name.
	Identity string
}

// The Lease saves calls and keeps max-in-flight; correctness rests on names. If a
// holder dies, another follows after leaseDuration. A holder that can't renew stops at
// renewDeadline, before that.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	leaseRetry    = 2 * time.Second
	releaseWithin = 5 * time.Second
)

// ErrLeaseLost is the cause with which serving ends when the Lease could not be
// renewed in time, or somebody else has it.
var ErrLeaseLost = errors.New("the lease was lost")

// errStuck ends the process: if it led again while work of the last time goes on, there
// would be two leaders in one.
var errStuck = errors.New("the lease was lost, and work in progress does not end")

// release lets the next replica lead at once. It leaves a Lease alone that another
// replica has by now.
func (s *Scheduler) release(lock *resourcelock.LeaseLock) {
	ctx, cancel := context.WithTimeout(context.Background(), releaseWithin)
	defer cancel()
	// The last renewal, which was cancelled, may still be applied in between.
	err := updates.RetryOnConflict(updates.DefaultRetry, func() error {
		record, _, err := lock.Get(ctx)
		if err != nil || record.HolderIdentity != lock.Identity() {
			return err
		}
		now := metav1.Now()
		return lock.Update(ctx, resourcelock.LeaderElectionRecord{
			LeaderTransitions: record.LeaderTransitions, LeaseDurationSeconds: 1, AcquireTime: now, RenewTime: now,
		})
	})
	if err != nil {
		s.log.Warn("lease not released; another process can lead when it expires", "err", err)
	}
}

// elect leads while it holds the Lease, and releases it at the end: after the
// drain, so that the next holder finds nothing under way.
func (s *Scheduler) elect(ctx context.Context) error {
	lock := &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: s.lease.Namespace, Name: s.lease.Name},
		Client:     s.kube.CoordinationV1(),
		LockConfig: resourcelock.ResourceLockConfig{Identity: s.lease.Identity},
	}
	// The elector's own context goes on during the drain.
	ectx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	result := make(chan error, 1)
	led := make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: leaseRetry,
		Name: s.lease.Name, // its own release would come before the end of leading
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) {
				defer close(led)
				s.log.Info("this process leads", "identity", s.lease.Identity)
				// Serving ends with ctx (a drain) or with the Lease.
				sctx, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				defer context.AfterFunc(leading, func() { cancel(ErrLeaseLost) })()
				err := s.lead(sctx)
				if err == nil && ctx.Err() == nil {
					err = ErrLeaseLost
				}
				result <- err
				stop()
			},
			OnStoppedLeading: func() {},
			OnNewLeader: func(identity string) {
				s.leader.Store(&identity)
				if identity != s.lease.Identity {
					s.late.Store(true)
				}
			},
		},
	})
	if err != nil {
		return fmt.Errorf("leader election: %w", err)
	}
	// Before this process leads, the end of ctx ends the election.
	defer context.AfterFunc(ctx, func() {
		if !s.leading.Load() {
			stop()
		}
	})()
	elector.Run(ectx)
	err = s.ended(ctx, result, led)
	if elector.IsLeader() && !errors.Is(err, ErrLeaseLost) && !errors.Is(err, errStuck) {
		s.release(lock)
	}
	return err
}

// ended is how leading ended, when the elector has: nil if it never began.
func (s *Scheduler) ended(ctx context.Context, result <-chan error, led <-chan struct{}) error {
	select {
	case err := <-result:
		return err
	default:
	}
	if ctx.Err() != nil && !s.leading.Load() {
		return nil
	}
	select {
	case <-led:
		return <-result
	case <-time.After(drainTimeout + time.Second):
		return errStuck
	}
}
