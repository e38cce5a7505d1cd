package operate

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// found is what there is of a job whose next attempt a person asks for.
type found struct {
	*Reacquirer
	id       contract.JobID
	kjobs    []batchv1.Job
	pods     []corev1.Pod
	job      stacks.Job
	attempts int
	live     *batchv1.Job // the attempt that isn't over, nil if there is none
	podLives bool
	ran      string // what may have had the job, and is over
	url      string // in brackets, empty if it isn't known
	state    stacks.State
	asked    error // why Buildkite can't be asked for the state
}

// find looks for it.
func (r *Reacquirer) find(ctx context.Context, id contract.JobID) (*found, error) {
	f := &found{Reacquirer: r, id: id, job: stacks.Job{ID: id}}
	var err error
	if f.kjobs, f.pods, err = objectsOf(ctx, r.Kube, r.Template.Namespace, id); err != nil {
		return nil, err
	}
	for i := range f.kjobs {
		k := &f.kjobs[i]
		f.job, f.attempts = kjob.JobOf(k), max(f.attempts, kjob.AttemptOf(k))
		if isLive(k, f.pods) {
			f.live = k
		}
		if decide.OfJob(k).Succeeded {
			f.ran = fmt.Sprintf("attempt %d is done", kjob.AttemptOf(k))
		}
	}
	for i := range f.pods {
		p := decide.OfPod(&f.pods[i])
		f.podLives = f.podLives || p.Lives()
		if p.MayHaveHadTheJob() {
			phase, reason := decide.PhaseOf(decide.KJob{}, p)
			f.ran = fmt.Sprintf("attempt %d is %s", kjob.AttemptOf(&f.pods[i]), decide.Phrase(phase, reason))
		}
	}
	if url := f.jobURL(); url != "" {
		f.url = " (" + url + ")"
	}
	f.state, f.asked = r.state(ctx, id)
	return f, nil
}

// isLive: it isn't over, as far as its pod shows.
func isLive(k *batchv1.Job, pods []corev1.Pod) bool {
	return !kjob.Finished(k) && !decide.OfPod(podOfKjob(pods, k)).Lost()
}

func (f *found) last() *batchv1.Job {
	if len(f.kjobs) == 0 {
		return nil
	}
	return &f.kjobs[len(f.kjobs)-1]
}

func (f *found) jobURL() string {
	url, last := kjob.JobURL(f.Template.Org, f.job), f.last()
	if url == "" && last != nil {
		return contract.Sentence(last.Annotations[contract.AnnotationJobURL])
	}
	return url
}

func (f *found) refuse(format string, args ...any) error {
	return fmt.Errorf("%w for job %s: %s", ErrNotReacquired, f.id, fmt.Sprintf(format, args...))
}

// refusal is why there can't be another attempt, nil if there can.
func (f *found) refusal() error {
	if f.asked != nil {
		return f.refusalUnasked()
	}
	switch {
	case f.state == stacks.StateUnknown:
		return f.refuse("Buildkite doesn't know the job in this cluster")
	case f.state.Over():
		return f.refuse("the job is over (%s); retry it on Buildkite, which makes a new job ID%s", f.state, f.url)
	case !f.state.Offered():
		return f.refuse("the job is %s; Buildkite would refuse it to a second pod%s", f.state, f.url)
	case f.Force:
		return nil
	case f.live != nil:
		phase, reason := decide.PhaseOf(decide.OfJob(f.live), decide.OfPod(podOfKjob(f.pods, f.live)))
		return f.refuse("attempt %d (%s) is %s; --force replaces it%s", kjob.AttemptOf(f.live), f.live.Name, decide.Phrase(phase, reason), f.url)
	case f.podLives:
		return f.refuse("a pod of the job is still there; --force waits until it is gone%s", f.url)
	}
	return nil
}

// refusalUnasked is that where Buildkite can't be asked.
func (f *found) refusalUnasked() error {
	switch {
	case f.podLives, f.live != nil:
		return f.refuse("attempt %d exists and may have the job, and Buildkite can't be asked: %s%s", f.attempts, f.asked, f.url)
	case f.ran != "":
		return f.refuse("%s; it may have acquired the job, and Buildkite can't be asked: %s%s", f.ran, f.asked, f.url)
	}
	f.say("Buildkite can't be asked (%s). No pod that is left can have acquired the job; if it runs elsewhere or is over, Buildkite refuses it to the new pod", f.asked)
	return nil
}

// next is the kjob of the next attempt.
func (f *found) next(ctx context.Context) (*batchv1.Job, error) {
	job := f.job
	if f.asked == nil && job.Pipeline == "" {
		// Its build and pipeline, for the labels, if they can be had.
		if j, listed, err := f.Client.ScheduledJob(ctx, f.id); err == nil && listed {
			job = j
		}
	}
	env, err := f.environment(ctx)
	if err != nil {
		return nil, err
	}
	k, err := kjob.NewIn(ctx, f.Kube, job, f.attempts+1, f.Template, env)
	if err != nil {
		return nil, err
	}
	if last := f.last(); last != nil {
		f.handOn(last, k)
	}
	return k, nil
}

// environment is the job's, if its pod is made of that. Without a token, what its last
// pod was made of counts.
func (f *found) environment(ctx context.Context) (map[string]string, error) {
	switch {
	case !f.Template.WantsEnv():
		return nil, nil
	case f.Client != nil:
		return f.Client.Env(ctx, f.id)
	case f.Template.NeedsEnv():
		return nil, f.refuse("the queue's template needs the job's environment, and there is no token to ask Buildkite for it%s", f.url)
	}
	if kjob.OfPlugin(f.last()) {
		return nil, f.refuse("the step describes its pod by the kubernetes plugin, and there is no token to ask how%s", f.url)
	}
	return kjob.EnvOf(f.last()), nil
}

// handOn has a kjob take along what became of the attempts before it.
func (f *found) handOn(last, k *batchv1.Job) {
	was := decide.Facts{Pod: decide.OfPod(podOfKjob(f.pods, last)), Faults: decide.ParseNodeFaults(last.Annotations[contract.AnnotationNodeFaults])}
	phase, reason := decide.PhaseOf(decide.OfJob(last), was.Pod)
	sentence := fmt.Sprintf("attempt %d was %s, and a person asked for the next attempt", f.attempts, decide.Phrase(phase, reason))
	past := decide.Past{Reason: decide.Reacquired, Attempt: f.attempts, At: time.Now(), Text: sentence}
	faults := was.NodeFaults()
	kjob.HandOn(k, decide.ParseHistory(last.Annotations[contract.AnnotationStory]).With(past).Annotation(), faults.Annotation(), faults.Nodes())
}

// makeRoom deletes a live attempt, and waits until nothing of it lives. It returns the
// kjob that a scheduler has made meanwhile, nil if there is none.
func (f *found) makeRoom(ctx context.Context) (newer *batchv1.Job, err error) {
	if f.live != nil {
		if err := f.replace(ctx, f.live); err != nil {
			return nil, err
		}
	} else if !f.podLives {
		return nil, nil
	}
	newer, err = f.awaitGone(ctx, f.id, f.kjobs, f.pods)
	if err != nil {
		return nil, err
	}
	if newer != nil {
		f.say("a scheduler has made attempt %d (%s)", kjob.AttemptOf(newer), newer.Name)
		return newer, nil
	}
	// Its last seconds may have been enough for it to get the job.
	state, err := f.Reacquirer.state(ctx, f.id)
	switch {
	case err != nil:
		return nil, fmt.Errorf("asking again after the deletion: %w", err)
	case !state.Offered():
		return nil, f.refuse("the job became %s while attempt %d was being deleted%s", state, f.attempts, f.url)
	}
	return nil, nil
}

// create makes the kjob, or finds that somebody else has made that attempt.
func (f *found) create(ctx context.Context, k *batchv1.Job) (*batchv1.Job, error) {
	kjob.SetMadeAt(k, time.Now())
	made, err := f.Kube.BatchV1().Jobs(k.Namespace).Create(ctx, k, metav1.CreateOptions{})
	switch {
	case err == nil:
		return made, nil
	case !apierrors.IsAlreadyExists(err):
		return nil, fmt.Errorf("creating Kubernetes Job %s: %w", k.Name, err)
	case f.live == nil:
		return nil, f.refuse("a scheduler, or somebody else, has just made attempt %d (%s)%s", f.attempts+1, k.Name, f.url)
	}
	f.say("a scheduler has made attempt %d (%s)", f.attempts+1, k.Name)
	return f.Kube.BatchV1().Jobs(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
}
