package scheduler

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// errTemplate stops a queue whose template makes kjobs that the API server refuses,
// each of them. No job is taken for it.
var errTemplate = fmt.Errorf("%w: the API server refuses every job that the queue's template makes", errNoCreate)

// tryoutTimeout is short, because the queue's poll waits for it.
const tryoutTimeout = 5 * time.Second

// tryout is what the API server last said of a template, with a dry run.
type tryout struct {
	of      *batchv1.Job
	at      time.Time
	refused error
	known   bool // it was an answer about the template
}

// holds reports whether a template is the one that was tried, and needs no other try
// yet: what was taken stays so until a create is refused, what was refused, or not
// answered, is asked again.
func (o tryout) holds(t *kjob.Template) bool {
	asked := o.of != nil && reflect.DeepEqual(o.of, t.Job)
	return asked && (o.known && o.refused == nil || time.Since(o.at) < refusedEvery)
}

// templateTaken reports whether the API server takes what the template makes. If not,
// the queue is stopped, and looked at again when the template is another one and every
// 30 s. Where it can't say, the creates will.
func (q *queue) templateTaken(ctx context.Context) bool {
	err := q.tryTemplate(ctx, false)
	stopped := q.standing.now().stopped
	if err != nil && (stopped == nil || errors.Is(stopped, errNoCreate)) {
		q.stop(err) // a refused token is the worse reason
	}
	return err == nil
}

// tryTemplate returns why every kjob of the template in use is refused, or nil if none
// is, or nobody knows. With again, because a job was refused, what was taken before is
// asked again.
func (q *queue) tryTemplate(ctx context.Context, again bool) error {
	t := q.set.Load().template
	last := q.standing.lastTry()
	if last.holds(t) && (!again || last.refused != nil) {
		return last.refused
	}
	if !t.NeedsEnv() && q.s.breaker.Wait() > 0 {
		if last.of != nil && reflect.DeepEqual(last.of, t.Job) {
			return last.refused // it is no other for the API server's being away
		}
		return nil
	}
	now := tryout{of: t.Job, at: time.Now()}
	now.refused, now.known = askOf(ctx, q.s.kube, &q.s.breaker, t, again)
	q.standing.try(now)
	return now.refused
}

// askOf makes a kjob of the template with a dry run. A template that is filled from
// the job's environment makes a different one for each job: what is said of one is
// no answer about the others. Neither is 400, which is how an API server says that a
// webhook can't be asked by a dry run. And 403, a policy's word as a rule, may be about
// this pipeline or branch: it counts only where a real job was refused, too. The breaker,
// which let it through, is told what came of it: it may have been the one try.
func askOf(ctx context.Context, client kube.Client, b *kube.Breaker, t *kjob.Template, jobRefused bool) (refused error, known bool) {
	if t.NeedsEnv() {
		return nil, true
	}
	// Policies may look at the labels, so the job has what every job has.
	k, err := kjob.New(stacks.Job{ID: contract.SampleJobID, Pipeline: "example", Build: 1, Branch: "main", Step: "example"}, 1, t.WithSnapshot(kjob.SampleSnapshot), nil)
	if err != nil {
		return nil, false
	}
	cctx, cancel := context.WithTimeout(ctx, tryoutTimeout)
	defer cancel()
	sent := time.Now()
	_, err = client.BatchV1().Jobs(t.Namespace).Create(cctx, k, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	r := responseToCreate(err)
	switch {
	case r != responseFailed:
		b.Answered(sent)
	case ctx.Err() == nil && b.Away() > 0: // alone it doesn't open it: creates may go well
		b.Unanswered(sent)
	}
	switch {
	case r == responseMade, r == responseExists:
		return nil, true
	case r == responseRefused && !apierrors.IsBadRequest(err) && (jobRefused || !apierrors.IsForbidden(err)):
		return fmt.Errorf("%w: %s", errTemplate, strings.ReplaceAll(err.Error(), ` "`+k.Name+`"`, "")), true
	default:
		return nil, false
	}
}
