package launcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// supervise lets the child run the job, passes signals on to it, and makes sure that
// the job is finished whatever happens to the child. lost ends when the session is
// lost.
func (r *run) supervise(lost context.Context, job *acquire.Job, tags []string) {
	c, err := r.Started.child, r.Started.err
	if err != nil {
		r.finishUnrun(job, contract.OutcomeRunnerError, Finish{
			ExitStatus: "-1", SignalReason: "process_run_error", Start: true,
			Text: fmt.Sprintf("The job's runner couldn't be started: %v", err),
		})
		return
	}
	r.idle = false
	c.begin(r.handover(job, tags))
	s := &supervision{
		run: r, child: c, lost: lost,
		stopping: r.watch.Stop.Done(), forcing: r.watch.Force.Done(), losing: lost.Done(),
	}
	s.follow()
	exit := <-c.exited
	r.phases.split("report", s.report.EndedAt)
	r.childTries = maps.Clone(s.report.Tries)
	r.msg.LogChunksFailed = s.report.ChunksFailed
	if s.hung {
		exit = errHung
	}
	r.conclude(job, s.report, exit, s.why)
	switch { // Buildkite's page only shows that the job was stopped
	case r.msg.SessionLost:
		r.msg.Reason += fmt.Sprintf("; the session was lost: %v", context.Cause(lost))
	case s.report.EndedWhileItRan():
		r.msg.Reason += "; " + EndedWhileItRan
	}
}

// supervision is the time in which the child runs the job.
type supervision struct {
	*run
	child *child
	lost  context.Context
	// report is the child's last one.
	report Report
	// What may still happen; nil once it has happened or changes nothing any more.
	stopping, losing, forcing <-chan struct{}
	cancelAt, killAt          <-chan time.Time
	// why the child was told to stop; "" if it wasn't.
	why string
	// hung is set when the child was killed because its time was over.
	hung bool
}

// follow returns when the child has closed its reports: it ends, or has ended.
func (s *supervision) follow() {
	for {
		select {
		case next, ok := <-s.child.reports:
			if !ok {
				return
			}
			s.report = next
		case <-s.stopping:
			s.signalled()
		case <-s.losing:
			s.sessionLost()
		case <-s.cancelAt:
			s.losing = nil
			s.Log.Warn("canceling the job", "signal", s.why)
			s.stopChild(false)
		case <-s.forcing:
			s.forced()
		case <-s.killAt:
			s.overdue()
		}
	}
}

// signalled plans the end of the job after the first signal: cancelled at once, or
// when a job that drains has no time left.
func (s *supervision) signalled() {
	s.stopping = nil
	s.why = context.Cause(s.watch.Stop).Error()
	after := s.Budget.CancelAfter()
	s.Log.Warn("received a signal while the job runs", "signal", s.why, "drain", s.Budget.Drain, "cancel_in", after, "grace", s.Budget.Grace)
	s.cancelAt = time.After(time.Until(s.signalledAt().Add(after)))
	// A child that hasn't come to finish by its last quarter of time hangs: the
	// rest is enough to finish in its place.
	s.killAt = time.After(time.Until(s.signalledAt().Add(s.Budget.DueBy() - s.Budget.Report()/4)))
}

// sessionLost cancels the job, even one that drains: Buildkite counts it as lost.
// A signal may still come, and then the report has its time.
func (s *supervision) sessionLost() {
	s.losing, s.cancelAt, s.msg.SessionLost = nil, nil, true
	s.why = context.Cause(s.lost).Error()
	s.Log.Error("canceling the job: the session is lost")
	s.stopChild(false)
}

// forced kills the job after a second signal.
func (s *supervision) forced() {
	s.forcing, s.losing, s.cancelAt = nil, nil, nil
	s.why = context.Cause(s.watch.Force).Error()
	s.Log.Warn("killing the job: forced by a signal", "signal", s.why)
	s.stopChild(true)
}

// overdue kills the child, unless it is reporting the result and gives that up by
// itself in a moment.
func (s *supervision) overdue() {
	left := time.Until(s.signalledAt().Add(s.Budget.ReportBy() + contract.GraceTail/4))
	if s.report.Finish.Sent && left > 0 {
		s.killAt = time.After(left)
		return
	}
	s.Log.Error("the job's runner hangs: killing it")
	s.hung = true
	s.child.kill()
}

// stopChild tells the child to cancel the job, or to kill it.
func (s *supervision) stopChild(force bool) {
	control := Control{Force: force, Why: s.why}
	if _, signalled := signals.From(s.watch.Stop); signalled {
		control.ReportBy = s.signalledAt().Add(s.Budget.ReportBy())
	}
	if err := s.child.send(control); err != nil {
		s.Log.Warn("couldn't tell the job's runner to stop", "err", err)
	}
}

// errHung stands for the end of a child that was killed because its time was over.
var errHung = errors.New("killed because it did not end in time")
