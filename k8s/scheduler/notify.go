package scheduler

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
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

// tellWaiting puts on the job's page what it waits for; the first time of a kind it
// is counted, and told in an Event on the kjob too: Kubernetes' own are on its pod,
// if there are any.
func (q *queue) tellWaiting(id contract.JobID, why decide.Reason, text string) {
	q.mu.Lock()
	m := q.state(id)
	news := text != "" && !m.told(text) && m.waits < maxWaits && (m.waitFor != why || time.Since(m.waitAt) >= waitsEvery)
	first := news && m.waitFor != why
	if news {
		m.waits, m.waitFor, m.waitAt = m.waits+1, why, time.Now()
	}
	q.mu.Unlock()
	if first {
		q.s.metrics.decisions.WithLabelValues(q.name, string(decide.None), string(why)).Inc()
		event := func() { q.event(id, true, events.Waiting, text) }
		if !q.tell(id, text, maxTold, event) {
			event()
		}
	} else if news {
		q.tell(id, text, maxTold, nil)
	}
}

// tell puts a line on the job's page, once for each text and unless there are
// so many already, and reports whether it will. Unless it is nil, then is called
// when it is there.
func (q *queue) tell(id contract.JobID, text string, most int, then func()) bool {
	if text == "" {
		return false
	}
	q.mu.Lock()
	m := q.state(id)
	news := !m.told(text) && len(m.lines) < most
	if news {
		m.tells(text)
	}
	q.mu.Unlock()
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
		here[k.Id] = k.Id != ""
	}
	for _, p := range q.store.PodsIn(q.label) {
		here[p.Id] = p.Id != ""
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
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range list.Items {
		id, _, _ := contract.ParseKjobName(e.InvolvedObject.Name)
		if id != "" && e.Source.Component == contract.ManagedBy && e.Reason == events.Unmatched {
			q.unmatched.recalled(id, now)
		}
		if (here[id] || q.states[id] != nil) && e.Source.Component == contract.ManagedBy && (e.Reason == events.Lost || e.Reason == events.Notice || e.Reason == events.Waiting) {
			q.state(id).tells(e.Message)
		}
	}
}

// told reports whether a text is on the job's page.
func (m *jobState) told(text string) bool { return m.lines[lineOf(text)] }

func (m *jobState) tells(text string) {
	if m.lines == nil {
		m.lines = map[string]bool{}
	}
	m.lines[lineOf(text)] = true
}

// lineOf is the same of a text and of what an Event has of it.
func lineOf(text string) string { return kjob.Hash8(stacks.Cut(text, events.MaxEventMessage)) }
