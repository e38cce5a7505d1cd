package simulator

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Entry is one line of the ledger: a job's change of state, a repeated call, a late finish
// or an incomplete log.
type Entry struct {
	Seq      uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	JobID    string    `json:"job_id"`
	Event    string    `json:"event"`
	From     JobState  `json:"from,omitempty"`
	To       JobState  `json:"to,omitempty"`
	AgentID  string    `json:"agent_id,omitempty"`
	Token    TokenKind `json:"token,omitempty"`
	Request  uint64    `json:"request,omitempty"`  // Request.Seq
	Withheld bool      `json:"withheld,omitempty"` // the client lost the reply
	Detail   string    `json:"detail,omitempty"`
}

// Violation is a breach of the protocol by a client, or a mistake of the Simulator.
type Violation struct {
	Time    time.Time `json:"time"`
	Kind    string    `json:"kind"`
	JobID   string    `json:"job_id,omitempty"`
	AgentID string    `json:"agent_id,omitempty"`
	Request uint64    `json:"request,omitempty"`
	Detail  string    `json:"detail"`
}

func (v Violation) String() string {
	return fmt.Sprintf("%s: job %s, agent %s, request %d: %s", v.Kind, v.JobID, v.AgentID, v.Request, v.Detail)
}

// The kinds of Violation.
const (
	AcquiredTwice     = "acquired_twice"
	StartedTwice      = "started_twice"
	StartedLate       = "started_late" // a start came after the job was taken back
	FinishedTwice     = "finished_twice"
	ResultChanged     = "result_changed"
	FinishedUnstarted = "finished_unstarted" // with a status that only a run can have
	ImpossibleStep    = "impossible_step"
	LogMissing        = "log_missing"
	LogContradiction  = "log_contradiction"
	ChunkAfterFinish  = "chunk_after_finish"
	Abandoned         = "abandoned" // its session disconnected without sending a finish
	Unsettled         = "unsettled" // acquired, but its agent is gone
)

// book is the ledger's own record of one job. Transitions and calls fill it, not the
// Simulator's job, so that the ledger checks the Simulator as well as its clients.
type book struct {
	state      JobState
	acquiredBy string
	startedBy  string
	finishedBy string
	ended      bool
	result     result
	withheld   map[string]bool // operations whose last reply was lost
	granted    bool            // its session got the reply that grants the job
	endAsked   bool            // a client sent a finish, with any outcome
	unsettled  bool
}

// ledger records transitions and notes violations. Simulator.mu guards it.
type ledger struct {
	entries    []Entry
	violations []Violation
	books      map[string]*book
	repeats    int
	lost       int // repeats of an operation whose reply was withheld
}

// successors lists the states that may follow a state.
var successors = map[JobState][]JobState{
	"":                 {StatePending, StateWaiting, StateLimiting, StateScheduled, StateSkipped, StateBroken},
	StatePending:       {StateWaiting, StateScheduled, StateCanceled},
	StateWaiting:       {StateBlocked, StateLimiting, StateScheduled, StateWaitingFailed, StateCanceled, StateFinished},
	StateBlocked:       {StateWaiting, StateLimiting, StateScheduled, StateWaitingFailed, StateCanceled},
	StateLimiting:      {StateLimited, StateScheduled},
	StateLimited:       {StateScheduled, StateCanceled},
	StateWaitingFailed: {StateWaiting},
	StateScheduled:     {StateLimited, StateReserved, StateAssigned, StateAccepted, StateCanceled, StateFinished, StateExpired},
	StateReserved:      {StateLimited, StateScheduled, StateReserved, StateAssigned, StateAccepted, StateCanceled, StateFinished, StateExpired},
	StateAssigned:      {StateScheduled, StateAccepted, StateCanceled, StateFinished},
	StateAccepted:      {StateScheduled, StateRunning, StateCanceling, StateFinished, StateCanceled},
	StateRunning:       {StateCanceling, StateTimingOut, StateFinished},
	StateCanceling:     {StateCanceled},
	StateTimingOut:     {StateTimedOut, StateCanceling},
}

// cause is the reason for a job's change of state.
type cause struct {
	event   string
	call    *call
	agentID string
	detail  string
}

func (l *ledger) book(job string) *book {
	b := l.books[job]
	if b == nil {
		b = &book{}
		l.books[job] = b
	}
	return b
}

func (l *ledger) write(now time.Time, e Entry, c *call) {
	e.Seq, e.Time = uint64(len(l.entries)+1), now
	if c != nil {
		e.Request, e.Token, e.Withheld = c.seq, c.cred.kind, c.withheld
		if e.AgentID == "" {
			e.AgentID = c.agentID()
		}
	}
	l.entries = append(l.entries, e)
}

// transition records a change of state and notes a violation if the book forbids it.
func (l *ledger) transition(now time.Time, job string, to JobState, why cause) {
	b := l.book(job)
	e := Entry{JobID: job, Event: why.event, From: b.state, To: to, AgentID: why.agentID, Detail: why.detail}
	l.write(now, e, why.call)
	e = l.entries[len(l.entries)-1]

	accuse := func(kind, format string, args ...any) {
		l.violate(now, Violation{Kind: kind, JobID: job, AgentID: e.AgentID, Request: e.Request, Detail: fmt.Sprintf(format, args...)})
	}
	if !slices.Contains(successors[b.state], to) && why.event != offeredAgain {
		accuse(ImpossibleStep, "%q does not lead to %q", b.state, to)
	}
	switch to {
	case StateAccepted:
		if b.acquiredBy != "" {
			accuse(AcquiredTwice, "%s has it", b.acquiredBy)
		}
		b.acquiredBy = e.AgentID
		b.mark(opAcquire, e.Withheld)
	case StateRunning:
		if b.startedBy != "" {
			accuse(StartedTwice, "%s started it", b.startedBy)
		}
		b.startedBy = e.AgentID
		b.mark(opStart, e.Withheld)
	}
	if to.Terminal() {
		if b.ended {
			accuse(FinishedTwice, "it ended before, by %q", b.finishedBy)
		}
		b.ended, b.finishedBy = true, e.AgentID
		b.mark(opFinish, e.Withheld)
	} else if b.state.Terminal() {
		b.ended = false // a retry of a dependency let the job wait again
	}
	b.state = to
}

// acceptanceExpired is the event of a job whose agent didn't start it in time.
const acceptanceExpired = "acceptance expired"

// takenBack forgets the session that had the job, so that the next acquire is the first.
func (l *ledger) takenBack(job string) {
	b := l.book(job)
	b.acquiredBy, b.granted, b.endAsked, b.withheld = "", false, false, nil
}

func (b *book) mark(op string, withheld bool) {
	if b.withheld == nil {
		if !withheld {
			return
		}
		b.withheld = map[string]bool{}
	}
	b.withheld[op] = withheld
}

// The operations that a client may have to repeat.
const (
	opAcquire     = "acquire"
	opStart       = "start"
	opFinish      = "finish"
	opChunk       = "chunk"
	opStackFinish = "stack finish"
)

// repeat records that a session or a stack sent the same operation again.
func (l *ledger) repeat(c *call, job, op string) {
	l.repeats++
	b := l.book(job)
	detail := "unprovoked"
	if b.withheld[op] {
		l.lost++
		detail = "its reply was withheld"
	}
	l.write(c.now, Entry{JobID: job, Event: op + " repeated", Detail: detail}, c)
}

func (l *ledger) violate(now time.Time, v Violation) {
	v.Time = now
	l.violations = append(l.violations, v)
}

func (l *ledger) accuse(c *call, kind, job, format string, args ...any) {
	l.violate(c.now, Violation{Kind: kind, JobID: job, AgentID: c.agentID(), Request: c.seq, Detail: fmt.Sprintf(format, args...)})
}

// left notes a violation if a session that disconnects abandons its job. A session that never
// got its grant can't finish the job, and a session that sent a finish has done its part. Any
// other session must not disconnect.
func (l *ledger) left(c *call, job string) {
	if b := l.book(job); b.granted && !b.endAsked {
		l.accuse(c, Abandoned, job, "%s left it as %s, and never sent a finish", c.agentID(), b.state)
	}
}

// markWithheld notes that the client of c did not get the reply. It looks for the entries of
// c among the last thousand.
func (s *Simulator) markWithheld(c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	op := c.route.name
	switch op {
	case "chunks":
		op = opChunk
	case "stacks_finish":
		op = opStackFinish
	}
	if b := s.ledger.books[c.jobID]; b != nil {
		b.mark(op, true)
		if op == opAcquire || op == "accept" {
			b.granted = false
		}
	}
	for i := len(s.ledger.entries) - 1; i >= 0 && i >= len(s.ledger.entries)-1000; i-- {
		if s.ledger.entries[i].Request == c.seq {
			s.ledger.entries[i].Withheld = true
		}
	}
}

// Ledger returns all entries so far, oldest first.
func (s *Simulator) Ledger() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger.entries)
}

// Violations returns all violations so far, oldest first.
func (s *Simulator) Violations() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ledger.violations)
}

// Repeats returns how often a session repeated an acquire, start, finish or chunk, or a stack
// a finish; and how many of these followed a reply that was withheld.
func (s *Simulator) Repeats() (all, provoked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.repeats, s.ledger.lost
}

// CheckSettled adds a violation for each job that is held by an agent that has disconnected
// or is lost, because nobody can finish such a job. Only a mistake of the Simulator causes
// that. Close calls CheckSettled. It returns all violations.
func (s *Simulator) CheckSettled() []Violation {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checkSettled()
	return slices.Clone(s.ledger.violations)
}

func (s *Simulator) checkSettled() {
	now := s.now()
	for _, id := range slices.Sorted(maps.Keys(s.ledger.books)) {
		b, j := s.ledger.books[id], s.jobs[id]
		if b.unsettled || !j.state.Held() || j.leaving || j.agent == nil || !j.agent.away() {
			continue
		}
		b.unsettled = true
		s.ledger.violate(now, Violation{Kind: Unsettled, JobID: id, AgentID: j.agent.id,
			Detail: fmt.Sprintf("%s, and its agent is %s", j.state, j.agent.state)})
	}
}
