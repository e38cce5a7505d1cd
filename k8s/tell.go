package k8s

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
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

// tellWaiting puts on the job's page what it waits for.
func (q *queue) tellWaiting(id contract.JobID, why Reason, text string) {
	q.mu.Lock()
	m := q.memo(id)
	news := text != "" && !m.told[hash8(text)] && m.waits < maxWaits && (m.waitFor != why || time.Since(m.waitAt) >= waitsEvery)
	if news {
		m.waits, m.waitFor, m.waitAt = m.waits+1, why, time.Now()
	}
	q.mu.Unlock()
	if news {
		q.tell(id, text, maxTold)
	}
}

// tell puts a line on the job's page, once for each text and unless there are
// so many already, and reports whether it was news.
func (q *queue) tell(id contract.JobID, text string, most int) bool {
	if text == "" {
		return false
	}
	q.mu.Lock()
	m := q.memo(id)
	news := !m.told[hash8(text)] && len(m.told) < most
	if news {
		if m.told == nil {
			m.told = map[string]bool{}
		}
		m.told[hash8(text)] = true
	}
	q.mu.Unlock()
	if news {
		q.notices.Add(id, text)
	}
	return news
}
