package scheduler

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// refusedEvery is how often a stopped queue is looked at again.
const refusedEvery = 30 * time.Second

// errNoCreate stops a queue because its namespace or its template refuses every kjob.
// Buildkite has refused nothing, so the queue's existing jobs are looked after.
var errNoCreate = errors.New("creating Kubernetes Jobs")

// standing is the one answer to whether a queue may start work, and if not, why; see
// now. It calls no other part of the queue.
type standing struct {
	ready func(bool) // the gauge

	mu      sync.Mutex
	begun   bool  // it was served once
	refused error // why the queue is stopped, nil when it is not
	stops   int   // how often it was stopped
	// unreached is why Buildkite doesn't know of the queue yet, nil if it does.
	unreached error
	paused    bool // as of the last page of scheduled jobs
	refusals  int  // attempts in a row that ended with exit code 77
	// noCreate is when the namespace, or our Role in it, last refused every kjob; zero
	// when it last accepted one. Until then one claim at a time is made.
	noCreate time.Time
	tried    tryout
	beat     time.Time // when the poll loop last turned
	silent   time.Time // since when Buildkite answers no poll, zero if it does
}

func newStanding(ready func(bool)) *standing { return &standing{ready: ready, beat: time.Now()} }

// permit is what a queue may do.
type permit struct {
	// stopped is why no job is taken, nil if jobs are; unreached, why that is not known
	// yet.
	stopped, unreached error
	// paused: at Buildkite. Nothing is created either.
	paused bool
	// probes: pods' tokens are refused, and one attempt at a time is made to see
	// whether they still are; see canary.go.
	probes   bool
	noCreate time.Time
}

// now is the answer, as of now.
func (s *standing) now() permit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return permit{stopped: s.refused, unreached: s.unreached, paused: s.paused, probes: s.refusals >= maxRefusals, noCreate: s.noCreate}
}

// why is why a queue isn't served, nil if it is. One that is paused at Buildkite is.
func (p permit) why() error {
	switch {
	case p.stopped != nil:
		return fmt.Errorf("is stopped: %w", p.stopped)
	case p.unreached != nil:
		return fmt.Errorf("has not reached Buildkite yet: %w", p.unreached)
	}
	return nil
}

// looksAfter: Buildkite may be asked about the queue's existing jobs, although it takes
// no other.
func (p permit) looksAfter() bool { return p.stopped == nil || errors.Is(p.stopped, errNoCreate) }

// namespaceRefuses: it takes no kjob at all, as far as is known.
func (p permit) namespaceRefuses() bool { return !p.noCreate.IsZero() }

// templateRefused: the API server refused a job's kjob and also the template's dry run.
// If a policy refuses, a dry run may not show when it stops; so one job at a time is
// tried.
func (p permit) templateRefused() bool { return errors.Is(p.stopped, errTemplate) }

// refusedSince: the namespace refused a kjob after a time.
func (p permit) refusedSince(t time.Time) bool { return !t.After(p.noCreate) }

// show sets the gauge. Callers hold the guard, so that it ends as the standing does.
func (s *standing) show() { s.ready(s.begun && s.refused == nil) }

// begins is for a queue that Buildkite isn't known to know.
func (s *standing) begins() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.show()
}

// cannotReach records why the queue can't be registered yet; nil if it can, or if
// Buildkite has refused.
func (s *standing) cannotReach(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unreached = err
}

// stop makes the queue take no more jobs, and reports whether the reason is news.
func (s *standing) stop(err error) (news bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	news = isNews(err, s.refused)
	s.refused = err
	s.stops++
	s.show()
	return news
}

// stopCount is how often the queue was stopped, for recover.
func (s *standing) stopCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stops
}

// recover lifts a stop and returns its reason. It doesn't if the queue was stopped
// again since, or if its namespace refuses kjobs and a probe is under way, which is a
// job that was found or claimed. A successful poll says nothing about creates while
// there is such a job. Without one the queue would stay stopped until a new job came:
// so it is served, and that job is its probe.
func (s *standing) recover(stops int, probe bool) (was error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	probed := probe || time.Since(s.noCreate) < refusedEvery
	taken := s.tried.known && s.tried.refused == nil
	switch {
	case s.stops != stops, probed && !s.noCreate.IsZero():
		return nil
	case probe && errors.Is(s.refused, errTemplate) && !taken:
		return nil
	}
	return s.lift()
}

// lift: callers hold the guard.
func (s *standing) lift() (was error) {
	was, s.refused, s.begun = s.refused, nil, true
	s.show()
	return was
}

// made lifts a stop for the template, which has just made a kjob.
func (s *standing) made() (was error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !errors.Is(s.refused, errTemplate) {
		return nil
	}
	return s.lift()
}

// letIn records that the namespace takes kjobs, and lifts a stop if it did not.
func (s *standing) letIn() (was error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noCreate.IsZero() {
		return nil
	}
	s.noCreate = time.Time{}
	return s.lift()
}

// keptOut records that the namespace takes no kjobs.
func (s *standing) keptOut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noCreate = time.Now()
}

func (s *standing) pause(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paused = paused
}

// tokenAsked counts what the runner of an ended attempt says about its token, and
// reports whether from now on there are only probes. A refusal counts only if another
// attempt is made: otherwise a runner had the job, with a good token, and the job wrote
// the message.
func (s *standing) tokenAsked(d decide.Decision, m *contract.Message) (probes bool) {
	if m == nil {
		return false
	}
	refused := m.Code() == contract.ExitRefused
	if refused && d.Action != decide.Attempt {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !refused {
		s.refusals = 0
		return false
	}
	s.refusals++
	return s.refusals == maxRefusals
}

// tokenAccepted: a pod of ours has got through.
func (s *standing) tokenAccepted() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusals = 0
}

// lastTry is what the API server last said of the template.
func (s *standing) lastTry() tryout {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried
}

func (s *standing) try(now tryout) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried = now
}

// answers takes in whether Buildkite has answered a poll.
func (s *standing) answers(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case yes:
		s.silent = time.Time{}
	case s.silent.IsZero():
		s.silent = time.Now()
	}
}

// silentFor is for how long it has not, 0 if it does.
func (s *standing) silentFor() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent.IsZero() {
		return 0
	}
	return time.Since(s.silent)
}

// alive: the poll loop turns.
func (s *standing) alive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = time.Now()
}

// still is for how long it has not.
func (s *standing) still() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.beat)
}
