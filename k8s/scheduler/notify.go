package scheduler

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
)

// The limits of notifications on a job's page. Buildkite accepts a hundred for a job.
// We send at most a dozen about waiting and retries, and of these only a part about
// waiting, because that text changes all the time ("used: 17", "0/57 nodes"): the first
// of a kind at once, then one a minute. The rest is for how the job ended.
const (
	maxTold    = 12
	maxNoted   = 50
	maxWaits   = 5
	waitsEvery = time.Minute
)

// tellWaiting puts on the job's page what the job waits for. The first text with a
// reason is also counted, and becomes an Event on the kjob, because Kubernetes' own
// Events are on the pod, if there is one. After that it is told when its text changes.
func (q *queue) tellWaiting(id contract.JobID, d decide.Decision) {
	news := q.pages.waits(id, d)
	if !news.tell {
		return
	}
	if !news.first {
		q.tell(id, news.line, d.Text, maxTold, nil)
		return
	}
	q.decided(id, decide.None, d.Reason)
	event := func() { q.event(id, true, events.Waiting, d) }
	if !q.tell(id, news.line, d.Text, maxTold, event) {
		event()
	}
}

// tell queues a text for the job's page, unless the same line was sent before or the
// limit most is reached, and reports whether it did. then, if it isn't nil, is called
// when the text is there.
func (q *queue) tell(id contract.JobID, line, text string, most int, then func()) bool {
	news := text != "" && q.pages.line(id, line, most)
	if news {
		q.notices.Add(id, text, then)
	}
	return news
}

// recall reads what an earlier leader has told the pages of the jobs that are here, so
// that they don't get it again. This only helps: without it they get it twice.
func (q *queue) recall(ctx context.Context) {
	here := map[contract.JobID]bool{}
	for _, k := range q.store.KjobsIn(q.label) {
		here[k.ID] = k.ID != ""
	}
	for _, p := range q.store.PodsIn(q.label) {
		here[p.ID] = p.ID != ""
	}
	for _, id := range q.claims.known() {
		here[id] = true
	}
	cctx, cancel := context.WithTimeout(ctx, warningsWithin)
	defer cancel()
	list, err := q.s.kube.CoreV1().Events(q.store.Namespace).List(cctx, metav1.ListOptions{
		ResourceVersion: "0", FieldSelector: fields.OneTermEqualSelector("source", contract.ManagedBy).String(),
	})
	if err != nil {
		q.log.Debug("Events not read", "err", err)
		return
	}
	now := time.Now()
	for _, e := range list.Items {
		id, attempt, _ := contract.ParseKjobName(e.InvolvedObject.Name)
		if id != "" && e.Source.Component == contract.ManagedBy && e.Reason == events.Unmatched {
			q.unmatched.recalled(id, now)
		}
		if here[id] {
			q.pages.recalls(id, attempt, e)
		}
	}
}
