package scheduler

import (
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// pages are what has been told of each job, on its page and in the metrics, so that it
// is told once. They call no other part of the queue: they decide in one step whether
// something is news and record it, and the caller then tells it.
type pages struct {
	mu sync.Mutex
	of map[contract.JobID]*page
}

// page is what has been told of one job.
type page struct {
	lines  []string  // see lineOf
	waits  []wait    // the last for each reason
	waited int       // notifications about what the job waits for
	waitAt time.Time // when the last one of them was sent

	announced types.UID // the kjob after which another attempt was announced
	// story is what the next attempt's kjob takes along, as it does the faults.
	story  decide.History
	faults decide.NodeFaults

	counted      types.UID // the kjob whose end is in the metrics
	countedAs    decide.Action
	countedFor   decide.Reason
	countedAgain bool      // with ReasonOfferAgain
	measured     types.UID // the kjob whose phases are in the metrics
	phases       []string  // those
	way          *way      // nil if attempts aren't exported
	touched      time.Time
}

// wait is the last text about what the job waits for. One that an earlier leader told
// has a topic and no text.
type wait struct {
	reason decide.Reason
	topic  decide.Topic
	words  string // a hash
}

func newPages() *pages { return &pages{of: map[contract.JobID]*page{}} }

// page is a job's. Callers hold the guard.
func (ps *pages) page(id contract.JobID) *page {
	p := ps.of[id]
	if p == nil {
		p = &page{}
		ps.of[id] = p
	}
	p.touched = time.Now()
	return p
}

// line records that a line is told, and reports whether it should be: only once, and
// not above the limit most.
func (ps *pages) line(id contract.JobID, line string, most int) (news bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	news = !slices.Contains(p.lines, line) && len(p.lines) < most
	if news {
		p.tell(line)
	}
	return news
}

// has: that line was told.
func (ps *pages) has(id contract.JobID, line string) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.of[id]
	return p != nil && slices.Contains(p.lines, line)
}

// waitNews is whether what a job waits for is to be told, as which line, and whether
// it is the first of its kind.
type waitNews struct {
	tell, first bool
	line        string
}

// waits records what a job waits for. The first text with a reason is told at once;
// after that a changed text, but not too often.
func (ps *pages) waits(id contract.JobID, d decide.Decision) waitNews {
	now := wait{d.Reason, d.Topic, kjob.Hash8(d.Text)}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	last, known := p.wait(d.Reason)
	if known && last == (wait{reason: d.Reason, topic: now.topic}) {
		last = now // in other words, perhaps: those of another release
		p.waitFor(now)
	}
	changed := !known || last != now && time.Since(p.waitAt) >= waitsEvery
	tell := changed && d.Text != "" && p.waited < maxWaits
	if tell {
		p.waitFor(now)
		p.waited, p.waitAt = p.waited+1, time.Now()
	}
	return waitNews{tell: tell, first: !known, line: fmt.Sprintf("%s/%d", d.Reason, p.waited)}
}

// wait is the last with that reason.
func (p *page) wait(why decide.Reason) (last wait, known bool) {
	i := slices.IndexFunc(p.waits, func(w wait) bool { return w.reason == why })
	if i < 0 {
		return wait{}, false
	}
	return p.waits[i], true
}

// waitFor makes w the last with its reason.
func (p *page) waitFor(w wait) {
	p.waits = append(slices.DeleteFunc(p.waits, func(o wait) bool { return o.reason == w.reason }), w)
}

// tell records that a line was told.
func (p *page) tell(line string) {
	if !slices.Contains(p.lines, line) {
		p.lines = append(p.lines, line)
	}
}

// recalls records what, according to an Event, the page was told.
func (ps *pages) recalls(id contract.JobID, attempt int, e corev1.Event) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	d, p := events.Told(e), ps.page(id)
	switch {
	case d.About() == "": // of a release before, or of somebody else's
	case e.Reason == events.Waiting:
		p.waitFor(wait{reason: d.Reason, topic: d.Topic})
		p.tell(string(d.Reason))
	case e.Reason == events.Lost, e.Reason == events.Notice:
		p.tell(lineOf(attempt, d))
	}
}

// announce records that another attempt follows this one, and what its kjob takes over,
// and reports whether that is news.
func (ps *pages) announce(id contract.JobID, d decide.Decision, f decide.Facts) (news bool) {
	past := decide.Past{Reason: d.Reason, Attempt: f.Attempt, At: f.EndedAt, Text: d.Text}
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	news = p.announced != f.KJob.UID
	p.announced, p.story, p.faults = f.KJob.UID, f.Story.With(past), f.NodeFaults()
	return news
}

// story is what the next attempt's kjob takes along.
func (ps *pages) story(id contract.JobID) (decide.History, decide.NodeFaults) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.of[id]
	if p == nil {
		return nil, decide.NodeFaults{}
	}
	return p.story, p.faults
}

// told is what was decided about the end of an attempt, at most one.
func (ps *pages) told(id contract.JobID, kjob types.UID, attempt int) decide.History {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	switch p := ps.of[id]; {
	case p == nil:
	case p.announced == kjob:
		return p.story[len(p.story)-1:]
	case p.counted == kjob:
		return decide.History{{Reason: p.countedFor, Attempt: attempt}}
	}
	return nil
}

// count records the action on the end of an attempt. It reports whether that is a new
// action, and whether it goes into the metrics: once for each action, and once if a job
// that was left alone is offered again.
func (ps *pages) count(id contract.JobID, kjob types.UID, d decide.Decision) (changed, news bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	again := d.Reason == decide.ReasonOfferAgain
	changed = p.counted != kjob || p.countedAs != d.Action
	news = changed || again && !p.countedAgain
	p.counted, p.countedAs, p.countedFor, p.countedAgain = kjob, d.Action, d.Reason, again
	return changed, news
}

// isCounted: that action on that kjob is in the metrics.
func (ps *pages) isCounted(id contract.JobID, kjob types.UID, as decide.Action) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	return p.counted == kjob && p.countedAs == as
}

// measure notes that a phase of a kjob is in the metrics, and reports whether that is
// news.
func (ps *pages) measure(id contract.JobID, kjob types.UID, phase string) (news bool) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.page(id)
	if p.measured != kjob {
		p.measured, p.phases = kjob, nil
	}
	if slices.Contains(p.phases, phase) {
		return false
	}
	p.phases = append(p.phases, phase)
	return true
}

// isMeasured: that was noted of the kjob.
func (ps *pages) isMeasured(id contract.JobID, kjob types.UID, phase string) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.of[id]
	return p != nil && p.measured == kjob && slices.Contains(p.phases, phase)
}

// idle are the jobs without any text for memoLife.
func (ps *pages) idle() (ids []contract.JobID) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for id, p := range ps.of {
		if p.idle() {
			ids = append(ids, id)
		}
	}
	return ids
}

func (p *page) idle() bool { return time.Since(p.touched) > memoLife }

// forget drops those pages of jobs, unless they were told something meanwhile.
func (ps *pages) forget(ids []contract.JobID) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, id := range ids {
		if p := ps.of[id]; p != nil && p.idle() {
			delete(ps.of, id)
		}
	}
}

// lineOf is the key of a text about an attempt: its topic, whatever the words.
func lineOf(attempt int, d decide.Decision) string {
	line := fmt.Sprintf("%d/%s", attempt, d.About())
	if d.Action == decide.Attempt {
		line += "/" + string(d.Action)
	}
	return line
}
