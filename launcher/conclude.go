package launcher

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// conclude reads the child's last report, and finishes the job if the child didn't.
// stopped is why the child was told to stop, "" if it wasn't.
func (r *run) conclude(job *acquire.Job, report Report, exit error, stopped string) {
	reason := "process_run_error"
	if stopped != "" {
		reason = "agent_stop"
	}
	last := Finish{ExitStatus: "-1", SignalReason: reason, Start: !report.Start.Delivered && !report.Start.Refused, LogEnd: report.LogEnd, LogSequence: report.LogSequence, ChunksFailed: report.ChunksFailed}
	r.tokenRefused = report.TokenRefused
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

// reported records the result that the child has reported. The job may not have run at
// all. process_run_error doesn't tell: a command that exits with 125 has it too.
func (r *run) reported(report Report, aside string) {
	r.result(report.ExitStatus, report.Signal, report.SignalReason, Delivery{Delivered: true})
	switch reason := report.SignalReason; {
	case reason == "signature_rejected" || reason == "agent_refused":
		r.ended(contract.OutcomeDeclined, "nothing of the job ran (%s). It ended with exit status %s; its log says why%s", report.SignalReason, report.ExitStatus, aside)
	case !report.Ran && reason == "agent_stop":
		r.ended(contract.OutcomeStoppedAcquired, "the runner was stopped before the job had begun; nothing of it ran%s", aside)
	case !report.Ran:
		r.ended(contract.OutcomeRunnerError, "nothing of the job ran (%s). It ended with exit status %s; its log says why%s", reason, report.ExitStatus, aside)
	default:
		r.ended(contract.OutcomeFinished, "the job ended with exit status %s%s", report.ExitStatus, aside)
	}
}

// undelivered records a result that Buildkite didn't get. The message still has it, and
// the scheduler may report it.
func (r *run) undelivered(report Report, d Delivery) {
	r.result(report.ExitStatus, report.Signal, report.SignalReason, Delivery{Delivered: true})
	r.ended(contract.OutcomeUndelivered, "the job ended with exit status %s, but its result couldn't be reported: %s", report.ExitStatus, d.Err)
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

// takenBack is for a job that may belong to another agent by now, so it isn't ours to
// finish.
func (r *run) takenBack(report Report) {
	r.ended(contract.OutcomeTakenBack, "Buildkite took the job back before it began, because it did not start in time: %s. Nothing of it ran here", report.Start.Err)
}

// concludeCrash is for a child that ended without a final report. It kills what is left
// of the job before it reports the job's end.
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
		// Buildkite may have accepted the child's finish: then any other result would
		// be a lie.
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
