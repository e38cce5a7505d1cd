package jobrun

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/launcher"
)

// errStopped is the cause of a call that was given up because the launcher said
// so.
var errStopped = errors.New("the runner is stopping")

// errLate is the cause of a call that was given up because its time was over.
var errLate = errors.New("the time for reporting is over")

// state is what the child knows, and how long it may report it. It is safe for
// concurrent use.
type state struct {
	mu     sync.Mutex
	report launcher.Report
	out    io.Writer

	// startCtx ends when the job must not be started any more, chunksCtx when log
	// chunks must have been sent, reportCtx when everything must have been sent.
	startCtx, chunksCtx, reportCtx    context.Context
	noStart, endOfChunks, endOfReport context.CancelCauseFunc
	// hurryChunks and hurryReport end, with the moment as their cause, when
	// chunksCtx and reportCtx are known to end.
	hurryChunks, hurryReport context.Context
	chunksDue, reportDue     context.CancelCauseFunc
	timed                    sync.Once
}

func newState(out io.Writer) *state {
	s := &state{out: out, report: launcher.Report{Tries: map[string]int{}, LogSequence: 1}}
	s.startCtx, s.noStart = context.WithCancelCause(context.Background())
	s.chunksCtx, s.endOfChunks = context.WithCancelCause(context.Background())
	s.reportCtx, s.endOfReport = context.WithCancelCause(context.Background())
	s.hurryChunks, s.chunksDue = context.WithCancelCause(context.Background())
	s.hurryReport, s.reportDue = context.WithCancelCause(context.Background())
	return s
}

// stop carries out the launcher's order to end the job. The second half of the time for
// reporting is for finish alone.
func (s *state) stop(reportBy time.Time, budget launcher.Budget) {
	s.noStart(errStopped)
	if reportBy.IsZero() {
		return
	}
	s.timed.Do(func() {
		// The moment came as wall-clock time; from here on, setting the clock doesn't
		// matter.
		reportBy = time.Now().Add(time.Until(reportBy))
		dueBy := reportBy.Add(budget.DueBy() - budget.ReportBy())
		chunksBy := dueBy.Add(-budget.Report() / 2)
		s.chunksDue(acquire.Due{By: chunksBy})
		s.reportDue(acquire.Due{By: dueBy, Last: reportBy})
		time.AfterFunc(time.Until(chunksBy), func() { s.endOfChunks(errLate) })
		time.AfterFunc(time.Until(reportBy), func() { s.endOfReport(errLate) })
	})
}

// update changes the report and sends it.
func (s *state) update(change func(*launcher.Report)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.report)
	r := s.report
	r.Tries = maps.Clone(r.Tries)
	if b, err := json.Marshal(r); err == nil {
		// A launcher that is gone reads nothing; the other pipe tells us to stop.
		s.out.Write(append(b, '\n')) //nolint:errcheck // see above
	}
}

// sent counts a request. The count goes out with the next report.
func (s *state) sent(call string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.report.Tries[call]++
}

// snapshot returns the report as it is.
func (s *state) snapshot() launcher.Report {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.report
}

// chunkIssued records where the log's next chunk would begin, and that this chunk is
// open.
func (s *state) chunkIssued(req *http.Request) {
	q := req.URL.Query()
	number := func(name string) uint64 {
		n, _ := strconv.ParseUint(q.Get(name), 10, 64) //nolint:errcheck // our own client wrote it
		return n
	}
	s.update(func(r *launcher.Report) {
		r.LogEnd = max(r.LogEnd, number("offset")+number("size"))
		r.LogSequence = max(r.LogSequence, number("sequence")+1)
		r.ChunksOpen++
	})
}
