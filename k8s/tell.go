package k8s

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// A job's page gets a dozen notifications from us at the most. What it waits for
// is told in words that change all the time ("used: 17", "0/57 nodes"), so that
// they get a share: the first of a kind at once, then one a minute.
const (
	maxTold    = 12
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
		q.tell(id, text)
	}
}

// tell puts a line on the job's page, once for each text, and reports whether
// it was news.
func (q *queue) tell(id contract.JobID, text string) bool {
	if text == "" {
		return false
	}
	q.mu.Lock()
	m := q.memo(id)
	news := !m.told[hash8(text)] && len(m.told) < maxTold
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
