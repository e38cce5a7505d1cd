package launcher

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// supervise has the child run the job, tells it of signals, and sees to it that
// the job is finished whatever becomes of the child. lost ends when the session
// is lost.
func (r *run) supervise(lost context.Context, job *acquire.Job, tags []string) {
	c, err := startChild(r.Runner, r.handover(job, tags), jobEnvironment(r.Environ))
	if err != nil {
		r.finishUnrun(job, contract.OutcomeRunnerError, Finish{
			ExitStatus: "-1", SignalReason: "process_run_error", Start: true,
			Text: fmt.Sprintf("The job's runner couldn't be started: %v", err),
		})
		return
	}
	var (
		report   Report
		stopping = r.watch.Stop.Done()
		losing   = lost.Done()
		forcing  = r.watch.Force.Done()
		cancelAt <-chan time.Time
		killAt   <-chan time.Time
		why      string
		hung     bool
	)
	tell := func(force bool) {
		control := Control{Force: force, Why: why}
		if _, signalled := signals.From(r.watch.Stop); signalled {
			control.ReportBy = r.signalledAt().Add(r.Budget.ReportBy())
		}
		if err := c.send(control); err != nil {
			r.Log.Warn("couldn't tell the job's runner to stop", "err", err)
		}
	}
	for reports := c.reports; reports != nil; {
		select {
		case next, ok := <-reports:
			if !ok {
				reports = nil
				break
			}
			report = next
		case <-losing:
			losing, cancelAt, r.msg.SessionLost = nil, nil, true
			// A signal may still come, and then the report has its time. After
			// one the job drains: it needn't, Buildkite counts it as lost.
			why = context.Cause(lost).Error()
			r.Log.Error("canceling the job: the session is lost")
			tell(false)
		case <-stopping:
			stopping = nil
			why = context.Cause(r.watch.Stop).Error()
			after := r.Budget.CancelAfter()
			r.Log.Warn("received a signal while the job runs", "signal", why, "drain", r.Budget.Drain, "cancel_in", after, "grace", r.Budget.Grace)
			cancelAt = time.After(time.Until(r.signalledAt().Add(after)))
			// A child that hasn't come to finish by its last quarter of time
			// hangs: what is left is enough to finish in its place.
			killAt = time.After(time.Until(r.signalledAt().Add(r.Budget.DueBy() - r.Budget.Report()/4)))
		case <-cancelAt:
			losing = nil
			r.Log.Warn("canceling the job", "signal", why)
			tell(false)
		case <-forcing:
			forcing, losing, cancelAt = nil, nil, nil
			why = context.Cause(r.watch.Force).Error()
			r.Log.Warn("killing the job: forced by a signal", "signal", why)
			tell(true)
		case <-killAt:
			if left := time.Until(r.signalledAt().Add(r.Budget.ReportBy() + contract.GraceTail/4)); report.Finish.Sent && left > 0 {
				killAt = time.After(left) // it gives up by itself before that
				break
			}
			r.Log.Error("the job's runner hangs: killing it")
			hung = true
			c.kill()
		}
	}
	exit := <-c.exited
	r.childTries = maps.Clone(report.Tries)
	r.msg.LogChunksFailed = report.ChunksFailed
	if hung {
		exit = errHung
	}
	r.conclude(job, report, exit, why)
	if r.msg.SessionLost {
		// Buildkite's page shows a job that was stopped, and only we know why.
		r.msg.Reason += fmt.Sprintf("; the session was lost: %v", context.Cause(lost))
	}
}

// errHung stands for the end of a child that was killed because its time was over.
var errHung = errors.New("killed, as it didn't end in its time")

// conclude reads the child's last report, and finishes the job where the child
// didn't. stopped is why it was told to stop, "" if it wasn't.
func (r *run) conclude(job *acquire.Job, report Report, exit error, stopped string) {
	reason := "process_run_error"
	if stopped != "" {
		reason = "agent_stop"
	}
	last := Finish{ExitStatus: "-1", SignalReason: reason, Start: !report.Start.Delivered && !report.Start.Refused, LogEnd: report.LogEnd, LogSequence: report.LogSequence, ChunksFailed: report.ChunksFailed}
	report.Finish = r.believed(report.Finish)
	unsure := !report.Start.Delivered && time.Now().After(job.StartBy) // it may be another agent's
	switch {
	case report.Finish.Delivered: // even if its last word is missing
		r.reported(report, "")
		r.Log.Info("the job's result is reported", "exit_status", report.ExitStatus, "signal", report.Signal, "signal_reason", report.SignalReason)

	case report.Final && report.Finish.Sent:
		r.undelivered(report, report.Finish)

	case report.Start.Taken, report.Final && (report.Start.Sent && !report.Start.Delivered || unsure):
		r.finishUnstarted(job, report, last, stopped)

	case report.Final:
		last.Text = fmt.Sprintf("The job couldn't be run: %s", report.Err)
		outcome := contract.OutcomeRunnerError
		if stopped != "" {
			outcome = contract.OutcomeStoppedAcquired
			last.Text = fmt.Sprintf("The runner was stopped by %s before the job had begun. Nothing of it ran.", stopped)
		}
		r.finishUnrun(job, outcome, last)

	default:
		r.concludeCrash(job, report, exit, last)
	}
}

// reported records the result that the child has reported. Not every one is of
// a job that ran. (process_run_error doesn't tell: a command that exits 125 has it
// too.)
func (r *run) reported(report Report, aside string) {
	r.result(report.ExitStatus, report.Signal, report.SignalReason, Delivery{Delivered: true})
	switch reason := report.SignalReason; {
	case reason == "signature_rejected" || reason == "agent_refused":
		r.ended(contract.OutcomeDeclined, "nothing of the job ran (%s): it was ended with exit status %s, and its log says why%s", report.SignalReason, report.ExitStatus, aside)
	case !report.Ran && reason == "agent_stop":
		r.ended(contract.OutcomeStoppedAcquired, "the runner was stopped before the job had begun; nothing of it ran%s", aside)
	case !report.Ran:
		r.ended(contract.OutcomeRunnerError, "nothing of the job ran (%s): it was ended with exit status %s, and its log says why%s", reason, report.ExitStatus, aside)
	default:
		r.ended(contract.OutcomeFinished, "the job ended with exit status %s%s", report.ExitStatus, aside)
	}
}

// undelivered records a result that Buildkite didn't get: it is known all the
// same, and the scheduler may still report it.
func (r *run) undelivered(report Report, d Delivery) {
	r.result(report.ExitStatus, report.Signal, report.SignalReason, Delivery{Delivered: true})
	r.ended(contract.OutcomeUndelivered, "the job ended with exit status %s, but its result couldn't be reported: %s", report.ExitStatus, d.Err)
	if report.TokenRefused && !r.msg.SessionLost {
		r.msg.Reason += "; Buildkite had refused the job's token while the job ran, and it was stopped for that: as a rule Buildkite had not heard of its agent for three minutes, or somebody ended the job"
	}
}

// finishUnstarted is for a job that Buildkite would not let start.
func (r *run) finishUnstarted(job *acquire.Job, report Report, last Finish, stopped string) {
	if report.Start.Taken {
		r.takenBack(report)
		return
	}
	ctx, cancel := r.until(r.Budget.ReportBy(), time.Minute)
	defer cancel()
	state, status, err := acquire.JobState(ctx, r.jobClient(job), job.ID, r.Rand, nil)
	switch {
	case err == nil && state.Over():
		r.ended(contract.OutcomeStartRefused, "Buildkite refused to start the job, which is %q: %s", state, report.Start.Err)
		return
	case err == nil && (state.Offered() || state.Waiting()), errors.Is(err, acquire.ErrRejected) && status == http.StatusUnauthorized && job.Token != "":
		r.takenBack(report)
		return
	case err == nil && state == contract.JobCanceling:
		// Its build is being cancelled. A job that isn't started has no log to explain that in.
		last.Start, last.SignalReason = false, "cancel"
		if d := r.finish(job, last); !d.Delivered {
			r.ended(contract.OutcomeUndelivered, "the job was cancelled before it began, and nothing of it ran; that couldn't be reported: %s", d.Err)
			return
		}
		r.ended(contract.OutcomeCancelled, "the job was cancelled before it began; nothing of it ran")
		return
	}
	outcome := contract.OutcomeStartRefused
	last.Text = fmt.Sprintf("Buildkite didn't let the job start: %s. Nothing of it ran.", report.Start.Err)
	if stopped != "" {
		outcome = contract.OutcomeStoppedAcquired
		last.Text = fmt.Sprintf("The runner was stopped by %s before the job had begun. Nothing of it ran.", stopped)
	}
	r.finishUnrun(job, outcome, last)
}

// takenBack is for a job that may be another agent's by now: it isn't ours to finish.
func (r *run) takenBack(report Report) {
	r.ended(contract.OutcomeTakenBack, "Buildkite took the job back before it began, as it does when an agent doesn't start it in time: %s. Nothing of it ran here", report.Start.Err)
}

// concludeCrash is for a child that ended without a last word. Whatever is left
// of the job is killed before its end is reported.
func (r *run) concludeCrash(job *acquire.Job, report Report, exit error, last Finish) {
	killed := signals.KillByEnv("BUILDKITE_JOB_ID=" + r.JobID.String())
	// What the child was still sending may be missing from the log.
	last.ChunksFailed = max(last.ChunksFailed, report.ChunksOpen)
	ended := "unexpectedly"
	if exit != nil {
		ended = exit.Error()
	}
	r.Log.Error("the job's runner died", "err", exit, "killed", killed)
	if report.Finish.Sent {
		// It may have been taken: then any other result would be a lie.
		ctx, cancel := r.until(r.Budget.ReportBy(), time.Minute)
		defer cancel()
		aside := fmt.Sprintf("; its runner died (%s) while reporting that", ended)
		d := Delivery{Err: "its reply was lost"}
		if d.infer(acquire.Delivered(ctx, r.jobClient(job), job.Job, r.Rand, nil)); r.believed(d).Delivered {
			r.reported(report, aside)
			return
		}
		// The job had ended by itself: there is nothing to explain on its page.
		last.ExitStatus, last.Signal, last.SignalReason = report.ExitStatus, report.Signal, report.SignalReason
		if d := r.finish(job, last); !d.Delivered {
			r.undelivered(report, d)
			return
		}
		r.reported(report, aside)
		return
	}
	if !report.Start.Delivered && time.Now().After(job.StartBy) {
		r.finishUnstarted(job, report, last, "")
		return
	}
	if !report.StartedAt.IsZero() {
		last.SignalReason = "agent_stop"
	}
	last.Text = fmt.Sprintf("The job's runner died (%s), and with it the job. A common cause is the container's memory limit.", ended)
	if errors.Is(exit, errHung) {
		last.Text = fmt.Sprintf("The job's runner was %s, and with it the job.", ended)
	}
	r.finishUnrun(job, contract.OutcomeRunnerError, last)
}

func (r *run) handover(job *acquire.Job, tags []string) Handover {
	reply := r.session.Reply()
	h := Handover{
		JobID: r.JobID, Job: job.Raw, StartBy: job.StartBy, Options: r.inCommand(r.Options), Budget: r.Budget, Tags: tags,
		Endpoint: r.session.Endpoint(), Token: reply.AccessToken, UserAgent: r.UserAgent,
		Headers:           map[string]string{},
		JobStatusInterval: acquire.Seconds(reply.JobStatusInterval, time.Second, time.Second, time.Minute),
		Tracing:           reply.Tracing, LocalTraceparent: r.LocalTraceparent, Warning: r.warning,
	}
	for name := range r.session.RequestHeaders() {
		h.Headers[name] = r.session.RequestHeaders().Get(name)
	}
	return h
}

func (r *run) jobClient(job *acquire.Job) *api.Client {
	h := r.handover(job, nil)
	return JobClient(h.Endpoint, h.Token, h.UserAgent, h.Headers, job.Job, r.Transport, r.Log)
}
