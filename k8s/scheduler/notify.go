package scheduler

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
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

// wait is the last that a job's page was told of what the job waits for. What a
// leader before us told has a topic, and no words.
type wait struct {
	topic decide.Topic
	words string // a hash
}

// tellWaiting puts on the job's page what it waits for. The first time of a kind,
// which is a reason, it is counted, and told in an Event on the kjob too: Kubernetes'
// own are on its pod, if there are any. After that it is told when its words change.
func (q *queue) tellWaiting(id contract.JobID, d decide.Decision) {
	now := wait{d.Topic, kjob.Hash8(d.Text)}
	q.mu.Lock()
	m := q.state(id)
	last, known := m.waits[d.Reason]
	if known && last.words == "" && last.topic == now.topic {
		last = now // in other words, perhaps: those of another release
		m.waits[d.Reason] = now
	}
	news := d.Text != "" && m.waited < maxWaits && (!known || last != now && time.Since(m.waitAt) >= waitsEvery)
	if news {
		m.waits = mapWith(m.waits, d.Reason, now)
		m.waited, m.waitAt = m.waited+1, time.Now()
	}
	line := fmt.Sprintf("%s/%d", d.Reason, m.waited)
	q.mu.Unlock()
	if news && !known {
		q.s.metrics.decisions.WithLabelValues(q.name, string(decide.None), string(d.Reason)).Inc()
		event := func() { q.event(id, true, events.Waiting, d) }
		if !q.tell(id, line, d.Text, maxTold, event) {
			event()
		}
	} else if news {
		q.tell(id, line, d.Text, maxTold, nil)
	}
}

func mapWith[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil {
		m = map[K]V{}
	}
	m[k] = v
	return m
}

// tell puts a text on the job's page, once for each line that it is and unless
// there are so many already, and reports whether it will. Unless it is nil, then is
// called when it is there.
func (q *queue) tell(id contract.JobID, line, text string, most int, then func()) bool {
	if text == "" {
		return false
	}
	q.mu.Lock()
	m := q.state(id)
	news := !m.lines[line] && len(m.lines) < most
	if news {
		m.lines = mapWith(m.lines, line, true)
	}
	q.mu.Unlock()
	if news {
		q.notices.Add(id, text, then)
	}
	return news
}

// lineOf names what is told of an attempt: by what it is about, whatever the words.
func lineOf(attempt int, d decide.Decision) string {
	line := fmt.Sprintf("%d/%s", attempt, d.About())
	if d.Action == decide.Attempt {
		line += "/" + string(d.Action)
	}
	return line
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
		id, attempt, _ := contract.ParseKjobName(e.InvolvedObject.Name)
		if id != "" && e.Source.Component == contract.ManagedBy && e.Reason == events.Unmatched {
			q.unmatched.recalled(id, now)
		}
		if here[id] || q.states[id] != nil {
			q.state(id).recalls(attempt, e)
		}
	}
}

// recalls takes in what an Event says that the page was told.
func (m *jobState) recalls(attempt int, e corev1.Event) {
	d := events.Told(e)
	switch {
	case d.About() == "": // of a release before, or of somebody else's
	case e.Reason == events.Waiting:
		m.waits = mapWith(m.waits, d.Reason, wait{topic: d.Topic})
		m.lines = mapWith(m.lines, string(d.Reason), true)
	case e.Reason == events.Lost, e.Reason == events.Notice:
		m.lines = mapWith(m.lines, lineOf(attempt, d), true)
	}
}
