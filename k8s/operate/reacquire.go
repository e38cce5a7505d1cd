package operate

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// reservation is how long Buildkite keeps a job for us that is reacquired: the
// scheduler renews it from then on.
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

// Reacquire makes the next attempt at a job, or says why not. Names and the
// deleted kjob's UID keep it from making a second live one, whoever else is at
// work: should a scheduler make the same attempt, one of the two creates is
// refused, and that is said. A scheduler sees the deletion of a live attempt
// too: what it made in its place is as good, and is returned.
func (r *Reacquirer) Reacquire(ctx context.Context, id contract.JobID) (*batchv1.Job, error) {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w for job %s: %s", ErrNotReacquired, id, fmt.Sprintf(format, args...))
	}
	kjobs, pods, err := objectsOf(ctx, r.Kube, r.Template.Namespace, id)
	if err != nil {
		return nil, err
	}
	job, attempts := stacks.Job{ID: id}, 0
	var live *batchv1.Job
	ran := "" // what may have had the job, and is over
	for i := range kjobs {
		k := &kjobs[i]
		job, attempts = kjob.JobOf(k), max(attempts, kjob.AttemptOf(k))
		pod := decide.OfPod(podOfKjob(pods, k))
		if !kjob.Finished(k) && !pod.Lost() {
			live = k
		}
		if decide.OfJob(k).Succeeded {
			ran = fmt.Sprintf("attempt %d is done", kjob.AttemptOf(k))
		}
	}
	url := kjob.JobURL(r.Template.Org, job)
	if url == "" && len(kjobs) > 0 {
		url = contract.Sentence(kjobs[len(kjobs)-1].Annotations[contract.AnnotationJobURL])
	}
	if url != "" {
		url = " (" + url + ")"
	}
	podLives := false
	for i := range pods {
		p := decide.OfPod(&pods[i])
		podLives = podLives || p.Lives()
		if p.MayHaveHadTheJob() {
			phase, reason := decide.PhaseOf(decide.KJob{}, p)
			ran = strings.TrimSpace(fmt.Sprintf("attempt %d is %s %s", kjob.AttemptOf(&pods[i]), phase, reason))
		}
	}
	state, err := r.state(ctx, id)
	switch {
	case err != nil && (podLives || live != nil):
		return nil, refuse("attempt %d is there and may have the job, and Buildkite can't be asked: %s%s", attempts, err, url)
	case err != nil && ran != "":
		return nil, refuse("%s; it may have had the job, and Buildkite can't be asked: %s%s", ran, err, url)
	case err != nil:
		r.say("Buildkite can't be asked (%s); no pod that is left may have had the job, and should it run elsewhere or be over, a new pod is refused it", err)
	case state == stacks.StateUnknown:
		return nil, refuse("Buildkite doesn't know it in this cluster")
	case state.Over():
		return nil, refuse("it is over (%s); retry it on Buildkite, that makes a new job ID%s", state, url)
	case !state.Offered():
		return nil, refuse("it is %s; a second pod could only be refused%s", state, url)
	case live != nil && !r.Force:
		phase, reason := decide.PhaseOf(decide.OfJob(live), decide.OfPod(podOfKjob(pods, live)))
		return nil, refuse("attempt %d (%s) is %s %s; --force replaces it%s", kjob.AttemptOf(live), live.Name, phase, reason, url)
	case podLives && !r.Force:
		return nil, refuse("a pod of it is still there; --force waits until it is gone%s", url)
	}
	if err == nil && job.Pipeline == "" && r.Client != nil {
		// Its build and pipeline, for the labels, if they can be had.
		if j, listed, err := r.Client.ScheduledJob(ctx, id); err == nil && listed {
			job = j
		}
	}
	var env map[string]string
	if r.Template.NeedsEnv() {
		if r.Client == nil {
			return nil, refuse("the queue's template needs the job's environment, and there is no token to ask for it%s", url)
		}
		var err error
		if env, err = r.Client.Env(ctx, id); err != nil {
			return nil, err
		}
	}
	k, err := kjob.New(job, attempts+1, r.Template, env)
	if err != nil {
		return nil, err
	}
	if n := len(kjobs); n > 0 {
		last := &kjobs[n-1]
		was := decide.Facts{Pod: decide.OfPod(podOfKjob(pods, last)), Faults: decide.ParseNodeFaults(last.Annotations[contract.AnnotationNodeFaults])}
		phase, reason := decide.PhaseOf(decide.OfJob(last), was.Pod)
		sentence := strings.TrimSpace(fmt.Sprintf("attempt %d was %s %s", attempts, phase, reason)) + ", and a person asked for the next"
		faults := was.NodeFaults()
		kjob.HandOn(k, decide.ParseHistory(last.Annotations[contract.AnnotationStory]).With(decide.Past{Reason: decide.Reacquired, Attempt: attempts, At: time.Now(), Text: sentence}).Annotation(), faults.Annotation(), faults.Nodes())
	}
	if r.DryRun {
		return k, nil
	}
	if live != nil {
		if err := r.replace(ctx, live); err != nil {
			return nil, err
		}
	}
	if live != nil || podLives {
		newer, err := r.awaitGone(ctx, id, kjobs, pods)
		if err != nil {
			return nil, err
		}
		if newer != nil {
			r.say("a scheduler has made attempt %d (%s)", kjob.AttemptOf(newer), newer.Name)
			return newer, nil
		}
		// Its last seconds may have been enough for it to get the job.
		if state, err := r.state(ctx, id); err != nil {
			return nil, fmt.Errorf("asking again after the deletion: %w", err)
		} else if !state.Offered() {
			return nil, refuse("it became %s while attempt %d was being deleted%s", state, attempts, url)
		}
	}
	r.reserve(ctx, id, state)
	kjob.SetMadeAt(k, time.Now())
	made, err := r.Kube.BatchV1().Jobs(k.Namespace).Create(ctx, k, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		if live != nil {
			r.say("a scheduler has made attempt %d (%s)", attempts+1, k.Name)
			return r.Kube.BatchV1().Jobs(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
		}
		return nil, refuse("somebody else, a scheduler no doubt, has just made attempt %d (%s)%s", attempts+1, k.Name, url)
	}
	if err != nil {
		return nil, fmt.Errorf("creating kjob %s: %w", k.Name, err)
	}
	return made, nil
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

// awaitGone waits until nothing lives of what was there. It returns the last of
// the kjobs that somebody else has made meanwhile, nil if there is none: a
// scheduler takes a pod's end for that of its attempt, and Kubernetes may take
// its time to delete the kjob after that.
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
			case !kjob.Finished(k) && !decide.OfPod(podOfKjob(pods, k)).Lost():
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

// reserve holds the job for the new attempt. A refusal is no obstacle, and by
// now the old attempt may be deleted: the scheduler's own reservation is of the
// same stack, and a job that another stack holds can still be acquired.
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
