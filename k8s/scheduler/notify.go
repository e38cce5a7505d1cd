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

// Of what a job waits for and of its attempts, its page gets a dozen
// notifications from us at the most. What it waits for is told in words that
// change all the time ("used: 17", "0/57 nodes"), so that they get a share: the
// first of a kind at once, then one a minute. What became of the job comes after
// all that, and has the room that is left: Buildkite takes a hundred for a job.
const (
	maxTold    = 12
	maxNoted   = 50
	maxWaits   = 5
	waitsEvery = time.Minute
)

// tellWaiting puts on the job's page what it waits for. The first time of a kind,
// which is a reason, it is counted, and told in an Event on the kjob too: Kubernetes'
// own are on its pod, if there are any. After that it is told when its words change.
func (q *queue) tellWaiting(id contract.JobID, d decide.Decision) {
	news := q.pages.waits(id, d)
	if !news.tell {
		return
	}
	if !news.first {
		q.tell(id, news.line, d.Text, maxTold, nil)
		return
	}
	q.s.metrics.decisions.WithLabelValues(q.name, string(decide.None), string(d.Reason)).Inc()
	event := func() { q.event(id, true, events.Waiting, d) }
	if !q.tell(id, news.line, d.Text, maxTold, event) {
		event()
	}
}

// tell puts a text on the job's page, once for each line that it is and unless
// there are so many already, and reports whether it will. Unless it is nil, then is
// called when it is there.
func (q *queue) tell(id contract.JobID, line, text string, most int, then func()) bool {
	news := text != "" && q.pages.line(id, line, most)
	if news {
		q.notices.Add(id, text, then)
	}
	return news
}

// recall learns what a leader before us has told of the jobs that are here, so
// that their pages don't get it again from each. It is help, not truth: without
// it they do.
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
		q.log.Debug("events not read", "err", err)
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
