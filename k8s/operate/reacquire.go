package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// ErrNotReacquired is why no new attempt was made; its text says more.
var ErrNotReacquired = errors.New("no new attempt was made")

// reservation is how long Buildkite reserves a reacquired job for us; the scheduler
// renews it after that.
const reservation = 60 * time.Second

// Reacquirer forces new attempts. It needs no scheduler.
type Reacquirer struct {
	Kube kube.Client
	// Client asks Buildkite; nil if there is no token.
	Client   *stacks.Client
	Template *kjob.Template
	// Force deletes a live attempt first, if Buildkite still offers the job.
	Force  bool
	DryRun bool
	// Progress is told what is going on; it may be nil.
	Progress func(string)
}

// Reacquire makes the next attempt at a job, or says why not. The kjob's name, and the
// UID of the deleted one, prevent a second live kjob, whoever else is at work: if a
// scheduler makes the same attempt, one of the two creates is refused, and Reacquire
// says so. A scheduler also sees the deletion of a live attempt; the attempt that it
// makes instead is just as good, and is returned.
func (r *Reacquirer) Reacquire(ctx context.Context, id contract.JobID) (*batchv1.Job, error) {
	f, err := r.find(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := f.refusal(); err != nil {
		return nil, err
	}
	k, err := f.next(ctx)
	if err != nil || r.DryRun {
		return k, err
	}
	if newer, err := f.makeRoom(ctx); err != nil || newer != nil {
		return newer, err
	}
	r.reserve(ctx, id, f.state)
	return f.create(ctx, k)
}

func (r *Reacquirer) say(format string, args ...any) {
	if r.Progress != nil {
		r.Progress(fmt.Sprintf(format, args...))
	}
}

var errNoToken = errors.New("there is no token")

func (r *Reacquirer) state(ctx context.Context, id contract.JobID) (stacks.State, error) {
	if r.Client == nil {
		return "", errNoToken
	}
	states, err := r.Client.States(ctx, []contract.JobID{id})
	if errors.Is(err, stacks.ErrNotFound) { // no scheduler has registered the stack
		if _, err = r.Client.Register(ctx, nil); err == nil {
			states, err = r.Client.States(ctx, []contract.JobID{id})
		}
	}
	return states[id], err
}

func (r *Reacquirer) replace(ctx context.Context, k *batchv1.Job) error {
	r.say("deleting %s", k.Name)
	uid, foreground := k.UID, metav1.DeletePropagationForeground
	err := r.Kube.BatchV1().Jobs(k.Namespace).Delete(ctx, k.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid}, PropagationPolicy: &foreground,
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting %s: %w", k.Name, err)
	}
	return nil
}

// awaitGone waits until no old kjob or pod is live. It returns the last kjob that
// somebody else has made meanwhile, nil if there is none: for a scheduler the end of
// the pod is the end of the attempt, and Kubernetes may take a while to delete the kjob
// after that.
func (r *Reacquirer) awaitGone(ctx context.Context, id contract.JobID, wereKjobs []batchv1.Job, werePods []corev1.Pod) (newer *batchv1.Job, err error) {
	timeout := time.Duration(r.Template.Grace())*time.Second + time.Minute
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	old := map[types.UID]bool{} // of the kjobs, also of those whose pods alone are left
	for i := range wereKjobs {
		old[wereKjobs[i].UID] = true
	}
	for i := range werePods {
		old[kjob.OwnerUID(&werePods[i])] = true
	}
	for {
		kjobs, pods, err := objectsOf(ctx, r.Kube, r.Template.Namespace, id)
		if err != nil {
			return nil, err
		}
		left := 0
		for i := range pods {
			if old[kjob.OwnerUID(&pods[i])] && decide.OfPod(&pods[i]).Lives() {
				left++
			}
		}
		for i := range kjobs {
			switch k := &kjobs[i]; {
			case !old[k.UID]:
				newer = k
			case isLive(k, pods):
				left++
			}
		}
		if left == 0 {
			return newer, nil
		}
		r.say("waiting until its pod is gone")
		if !jitter.Sleep(ctx, 500*time.Millisecond) {
			return nil, fmt.Errorf("%w for job %s: its old pod was still there after %s", ErrNotReacquired, id, timeout)
		}
	}
}

// reserve reserves the job for the new attempt. A refusal doesn't matter: the
// scheduler's own reservation is of the same stack, and a job that another stack has
// reserved can still be acquired.
func (r *Reacquirer) reserve(ctx context.Context, id contract.JobID, state stacks.State) {
	if r.Client == nil || state == stacks.StateUnknown {
		return
	}
	switch got, err := r.Client.Reserve(ctx, []contract.JobID{id}, reservation); {
	case err != nil:
		r.say("Buildkite did not reserve the job: %s", err)
	case len(got) == 0:
		r.say("Buildkite did not reserve the job for this stack; another one may hold it")
	}
}
