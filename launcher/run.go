package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// Config is one job and how to run it. Validate it first.
type Config struct {
	JobID   contract.JobID
	Attempt int
	Token   string
	Options Options
	Budget  Budget
	// Acquire and Register are the policies for getting the job.
	Acquire, Register acquire.Backoff
	// Image is the image of which a step's wish is honoured (contract.EnvImage).
	Image string
	// ImageUnknown: the pod is that of a scheduler which doesn't set it yet.
	ImageUnknown bool
	// StepDir is contract.EnvStepDir; empty where the command runs in this container.
	StepDir string
	// Described: the pod is what the step's kubernetes plugin says (contract.EnvPlugin).
	Described bool
	// Step is the path of onejob-step, where there is one.
	Step string
	// Runner is the path of onejob-run.
	Runner string
	// Environ is the environment that the job's is made of.
	Environ   []string
	UserAgent string
	// LocalTraceparent: see Handover.
	LocalTraceparent bool
	Transport        http.RoundTripper
	Rand             *acquire.Rand
	Log              *slog.Logger
	// Known, unless it is nil, is given the message once the outcome is known,
	// before what is left to do: a SIGKILL may come in the midst of leaving, or of
	// the agent-shutdown hook.
	Known func(contract.Message)
}

// run is one attempt.
type run struct {
	Config
	watch   *signals.Watcher
	client  *acquire.Client
	session *acquire.Session
	phases  phases
	// childTries are the requests that the child sent.
	childTries map[string]int
	// warning goes into the job's log before all else.
	warning string
	msg     contract.Message
}

// Run takes the job from registration to its end, and returns what became of
// it. Signals come in through w. It writes nothing but the log.
func Run(w *signals.Watcher, conf Config) contract.Message {
	r := &run{Config: conf, watch: w}
	r.Log = r.Log.With("job_id", conf.JobID)
	r.msg = contract.Message{JobID: conf.JobID, Attempt: conf.Attempt}
	r.do()
	return r.message()
}

// message is what is known of the attempt by now.
func (r *run) message() contract.Message {
	r.phases.end()
	r.msg.Phases = r.phases.list
	r.msg.Tries = r.childTries
	if r.client != nil {
		r.msg.Tries = r.client.Tries()
		for call, n := range r.childTries {
			r.msg.Tries[call] += n
		}
	}
	sig, stopped := signals.From(r.watch.Stop)
	if stopped {
		r.msg.Received = sig.Error()
	}
	r.msg.ExitCode = r.msg.Outcome.ExitCode()
	switch {
	case r.msg.Outcome == contract.OutcomeStopped && stopped:
		r.msg.ExitCode = sig.ExitCode()
	case r.msg.Outcome == contract.OutcomeFinished && r.Options.ReflectExitStatus && r.msg.ExitStatus != nil:
		r.msg.ExitCode = *r.msg.ExitStatus & 0xff
	}
	return r.msg
}

// do goes through the phases; it leaves the outcome in r.msg.
func (r *run) do() {
	stop := r.watch.Stop
	tags, err := r.tags(stop)
	if err != nil {
		r.ended(contract.OutcomeUnready, "%v", err)
		if errors.Is(err, errKeys) {
			r.msg.Outcome = contract.OutcomeConfig
		}
		if stop.Err() != nil {
			r.ended(contract.OutcomeStopped, "stopped by %v while reading tags and keys", context.Cause(stop))
		}
		return
	}

	r.phases.begin("register")
	r.client = acquire.NewClient(acquire.Config{
		Endpoint: r.Options.Endpoint, Token: r.Token, UserAgent: r.UserAgent,
		Transport: r.Transport, DebugHTTP: r.Options.DebugHTTP,
		Acquire: r.Acquire, Register: r.Register, Wire: r.Budget.Wire(),
		Log: r.Log, Rand: r.Rand,
	})
	_, without := r.Options.experiments()
	for _, e := range without {
		r.Log.Warn("an experiment has no effect here", "experiment", e, "reason", withoutEffect(e))
	}
	r.session, err = r.client.Register(stop, acquire.Registration{
		// As the first (and only) of the agents that the stock agent would spawn.
		Name: strings.ReplaceAll(r.Options.Name, "%spawn", "1"), Priority: r.Options.Priority, Tags: tags,
		Features: r.Options.features(), ScriptEval: !r.Options.NoCommandEval,
	})
	if err != nil {
		r.failed(stop, err)
		return
	}
	r.msg.Agent = r.session.Reply().UUID
	r.Log.Info("registered", "agent", r.msg.Agent, "name", r.session.Reply().Name)
	// As in the stock agent the hook comes last: it can't hold up the leave.
	defer r.shutdownHook()
	defer r.leave()
	r.serve(stop, tags)
}

// serve gets the job for the session, and runs it.
func (r *run) serve(stop context.Context, tags []string) {
	if err := r.hook(stop, "agent-startup"); err != nil {
		r.ended(contract.OutcomeUnready, "the agent-startup hook failed: %v", err)
		if stop.Err() != nil {
			r.ended(contract.OutcomeStopped, "stopped by %v during the agent-startup hook", context.Cause(stop))
		}
		return
	}

	r.phases.begin("connect")
	if err := r.session.Connect(stop); err != nil {
		r.failed(stop, err)
		return
	}
	beating, endBeating := context.WithCancel(context.Background())
	defer endBeating()
	// The loss of the session has a context of its own: after a signal, work
	// is over already, and a job that drains must still learn of it.
	lost, lose := context.WithCancelCause(context.Background())
	defer lose(nil)
	work, abort := context.WithCancelCause(stop)
	defer abort(nil)
	defer context.AfterFunc(lost, func() { abort(context.Cause(lost)) })()
	go func() {
		if err := r.session.Heartbeat(beating); err != nil {
			r.Log.Error("the session is lost", "err", err)
			lose(err)
		}
	}()

	if !r.awaitCommand(work) {
		return
	}
	r.phases.begin("acquire")
	job, err := r.session.Acquire(work, r.JobID)
	if err != nil {
		var retry *acquire.RetryError
		r.msg.MaybeGranted = errors.As(err, &retry) && retry.Lost && !errors.Is(err, acquire.ErrRejected)
		r.failed(work, err)
		return
	}
	r.Log.Info("acquired", "url", job.URL())
	r.have(work, lost, job, tags)
}

// have is for a job that was acquired: it is run, if it may be.
func (r *run) have(work, lost context.Context, job *acquire.Job, tags []string) {
	if work.Err() != nil {
		r.finishUnrun(job, contract.OutcomeStoppedAcquired, Finish{
			ExitStatus: "-1", SignalReason: "agent_stop", Start: true,
			Text: fmt.Sprintf("The runner was stopped by %v while the job was being acquired. Nothing of it ran.", context.Cause(work)),
		})
		return
	}
	if why := staleEnvironment(job); why != "" {
		r.Log.Error("the job's environment is another's", "reason", why)
		r.finishUnrun(job, contract.OutcomeDeclined, Finish{ExitStatus: "-1", SignalReason: "agent_refused", Start: true, Text: why})
		return
	}
	if r.ImageUnknown {
		r.warning, r.Image = ignoredImage(job.Env), job.Env["BUILDKITE_IMAGE"]
	}
	if why := refusal(job.Env, r.Image, r.Described); why != "" {
		r.Log.Error("the job's step asks for what its pod isn't", "reason", why)
		r.finishUnrun(job, contract.OutcomeUnsupported, Finish{ExitStatus: "-1", SignalReason: "agent_refused", Start: true, Text: why})
		return
	}
	r.phases.begin("run")
	r.supervise(lost, job, tags)
}

// staleEnvironment says that a job came with the environment of another, as Buildkite
// has once granted some (docs/protocol.md#acquire); "" if it didn't.
func staleEnvironment(job *acquire.Job) string {
	got := job.Env["BUILDKITE_JOB_ID"]
	if got == "" || strings.EqualFold(got, job.ID) {
		return ""
	}
	return fmt.Sprintf("Buildkite gave job %s the environment of job %.40q: nothing of it was run. Retry the job; if it happens again, tell Buildkite's support.", job.ID, got)
}

// ended records the outcome and why.
func (r *run) ended(o contract.Outcome, format string, a ...any) {
	r.msg.Outcome, r.msg.Reason = o, fmt.Sprintf(format, a...)
}

// failed records the error of a call that came to nothing. ctx is the one that
// the call had.
func (r *run) failed(ctx context.Context, err error) {
	r.ended(acquire.Outcome(err), "%v", err)
	var retry *acquire.RetryError
	if errors.As(err, &retry) && !retry.NotBefore.IsZero() {
		notBefore := retry.NotBefore.UTC().Truncate(time.Millisecond)
		r.msg.NotBefore = &notBefore
	}
	// Not a signal but the loss of the session may have ended ctx.
	if _, signalled := signals.From(ctx); r.msg.Outcome == contract.OutcomeStopped && !signalled {
		r.msg.Outcome = acquire.Outcome(context.Cause(ctx))
	}
}

// leave tells Buildkite that the session is over.
func (r *run) leave() {
	if r.Known != nil {
		r.Known(r.message())
	}
	r.phases.begin("leave")
	ctx, cancel := r.until(r.Budget.LeaveBy(), 15*time.Second)
	defer cancel()
	done := slices.Contains([]contract.Outcome{contract.OutcomeFinished, contract.OutcomeDeclined, contract.OutcomeUnsupported}, r.msg.Outcome)
	r.session.Leave(ctx, !done || r.watch.Stop.Err() != nil)
}

// until returns a context that ends long after now, or, once a signal has come
// in, grace after the signal.
func (r *run) until(grace, long time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), long)
	stop := context.AfterFunc(r.watch.Stop, func() {
		t := time.AfterFunc(time.Until(r.signalledAt().Add(grace)), cancel)
		context.AfterFunc(ctx, func() { t.Stop() })
	})
	return ctx, func() { stop(); cancel() }
}

// signalledAt is when the first signal came; now, if none did.
func (r *run) signalledAt() time.Time {
	if sig, ok := signals.From(r.watch.Stop); ok {
		return sig.At
	}
	return time.Now()
}

// finishUnrun finishes a job of which nothing ran, or nothing runs any more,
// and records outcome.
func (r *run) finishUnrun(job *acquire.Job, outcome contract.Outcome, f Finish) {
	r.ended(outcome, "%s", f.Text)
	if d := r.finish(job, f); !d.Delivered {
		r.ended(contract.OutcomeUndelivered, "%s The result couldn't be reported: %s", f.Text, d.Err)
	}
}

// finish reports f for job, within the time that there is.
func (r *run) finish(job *acquire.Job, f Finish) Delivery {
	r.phases.begin("finish")
	ctx, cancel := r.until(r.Budget.ReportBy(), FinishPolicy.Deadline)
	defer cancel()
	count := func(call string) {
		if r.childTries == nil {
			r.childTries = map[string]int{}
		}
		r.childTries[call]++
	}
	hurry, due := context.WithCancelCause(context.Background())
	defer due(nil)
	defer context.AfterFunc(r.watch.Stop, func() {
		due(acquire.Due{By: r.signalledAt().Add(r.Budget.DueBy()), Last: r.signalledAt().Add(r.Budget.ReportBy())})
	})()
	f.StartBy = job.StartBy
	d := r.believed(finish(ctx, hurry, r.jobClient(job), job.Job, f, r.Rand, r.Log, count))
	r.result(f.ExitStatus, f.Signal, f.SignalReason, d)
	return d
}

// believed is d, but for what the refusal of the job's token seems to prove while
// Buildkite may have given the job up: the heartbeats had an outage, too.
func (r *run) believed(d Delivery) Delivery {
	silence := r.session.Silence()
	if !d.ByToken || silence < acquire.LostAfter {
		return d
	}
	d.Delivered, d.Inferred = false, false
	d.Err = fmt.Sprintf("Buildkite refuses the job's token, and had not heard of its agent for %s: most likely it had ended the job by then (lost agent, exit status -1)", silence.Round(time.Second))
	return d
}

// result records what finish said, if it was delivered.
func (r *run) result(exitStatus, signal, signalReason string, d Delivery) {
	if !d.Delivered {
		return
	}
	if n, err := strconv.Atoi(exitStatus); err == nil {
		r.msg.ExitStatus = &n
	}
	r.msg.Signal, r.msg.SignalReason = signal, signalReason
}

// WriteMessage leaves msg where the kubelet looks for it. Where the default
// path can't be written (outside of a pod), there is nobody to read it either.
func WriteMessage(msg contract.Message, path string) error {
	if path == "" {
		path = contract.DefaultTerminationMessagePath
		if _, err := os.Stat(path); err != nil {
			return nil //nolint:nilerr // not in a pod
		}
	}
	if err := msg.WriteFile(path); err != nil {
		return fmt.Errorf("writing the termination message: %w", err)
	}
	return nil
}
