package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
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
	// Image is the image that a step may ask for (contract.EnvImage).
	Image string
	// ImageUnknown: the scheduler that made the pod doesn't set Image yet.
	ImageUnknown bool
	// StepDir is contract.EnvStepDir; empty where the command runs in this container.
	StepDir string
	// Commands is contract.EnvCommands; empty where there is one command container at most.
	Commands string
	// CheckoutEnv is contract.EnvCheckoutEnv, for whoever checks out.
	CheckoutEnv string
	// Described: the pod is what the step's kubernetes plugin says (contract.EnvPlugin).
	Described bool
	// Step is the path of onejob-step, where there is one, and StepAgent that of the agent
	// for the command's container.
	Step, StepAgent string
	// Runner is the path of onejob-run. Started is the one that waits already, nil if none
	// does.
	Runner  string
	Started *Started
	// Environ is the environment from which the job's is made.
	Environ   []string
	UserAgent string
	// LocalTraceparent: see Handover.
	LocalTraceparent bool
	Transport        http.RoundTripper
	Rand             *acquire.Rand
	Log              *slog.Logger
	// Known, unless it is nil, gets the message as soon as the outcome is known, before
	// leaving and the agent-shutdown hook: a SIGKILL may come during these.
	Known func(contract.Message)
	// Hold is what the pod's queue allows.
	Hold Hold
	// Forget takes the job's credentials out of a container that stays, unless it is nil.
	Forget func() error
	// Use is what this container has used; nil if that isn't read.
	Use func() *contract.Use
}

// run is one attempt.
type run struct {
	Config
	watch   *signals.Watcher
	client  *acquire.Client
	session *acquire.Session
	phases  phases
	// idle: Started has nothing to run.
	idle bool
	// childTries are the requests that the child sent.
	childTries map[string]int
	// warning is the first line of the job's log.
	warning string
	// hold is Config's, with the job's own wish.
	hold Hold
	// tokenRefused: Buildkite refused the job's token before the result was sent.
	tokenRefused bool
	// began: the job's own runner was started.
	began bool
	msg   contract.Message
}

// Run takes the job from registration to its end, and returns what became of
// it. Signals come in through w. It writes nothing but the log.
func Run(w *signals.Watcher, conf Config) contract.Message {
	r := &run{Config: conf, watch: w}
	r.Log = r.Log.With("job_id", conf.JobID)
	r.msg = contract.Message{JobID: conf.JobID, Attempt: conf.Attempt}
	r.do()
	msg := r.message()
	msg.Held = r.stay()
	return msg
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

	if r.idle = true; r.Started == nil {
		r.Started = Start(r.Runner, r.Environ)
	}
	defer func() {
		if r.idle && r.Started.err == nil {
			r.Started.child.dismiss()
		}
	}()
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
	// As in the stock agent, the hook comes last, so that it can't delay the leave.
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
	// The loss of the session has a context of its own: after a signal work has ended
	// already, and a job that drains must still learn of the loss.
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
	r.msg.Traceparent = contract.Traceparent(job.TraceParent)
	r.Log.Info("acquired", "url", job.URL())
	r.have(work, lost, job, tags)
}

// have runs a job that was acquired, if it may be run.
func (r *run) have(work, lost context.Context, job *acquire.Job, tags []string) {
	if work.Err() != nil {
		r.finishUnrun(job, contract.OutcomeStoppedAcquired, Finish{
			ExitStatus: "-1", SignalReason: "agent_stop", Start: true,
			Text: fmt.Sprintf("The runner was stopped by %v while the job was being acquired. Nothing of it ran.", context.Cause(work)),
		})
		return
	}
	if why := staleEnvironment(job); why != "" {
		r.Log.Error("the job came with another job's environment", "reason", why)
		r.finishUnrun(job, contract.OutcomeDeclined, Finish{ExitStatus: "-1", SignalReason: "agent_refused", Start: true, Text: why})
		return
	}
	if r.ImageUnknown {
		r.warning, r.Image = ignoredImage(job.Env), job.Env["BUILDKITE_IMAGE"]
	}
	if why := refusal(job.Env, r.Image, r.Described); why != "" {
		r.Log.Error("the step asks for what this pod can't do", "reason", why)
		r.finishUnrun(job, contract.OutcomeUnsupported, Finish{ExitStatus: "-1", SignalReason: "agent_refused", Start: true, Text: why})
		return
	}
	hold, warning := r.Hold.of(job.Env)
	if r.hold = hold; warning != "" {
		r.warning += "+++ onejob: the container won't stay\n" + warning
	}
	r.phases.begin("run")
	r.began = true
	r.supervise(lost, job, tags)
}

// staleEnvironment says that a job came with another job's environment, which Buildkite
// has granted once (docs/protocol.md#acquire); "" if it didn't.
func staleEnvironment(job *acquire.Job) string {
	got := job.Env["BUILDKITE_JOB_ID"]
	if got == "" || strings.EqualFold(got, job.ID) {
		return ""
	}
	return fmt.Sprintf("Buildkite gave job %s the environment of job %.40q. Nothing of it ran. Retry the job; if it happens again, tell Buildkite's support.", job.ID, got)
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

// until returns a context that ends after long, or, once a signal has come, grace after
// the signal.
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
