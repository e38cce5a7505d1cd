package launcher

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/acquire"
	"github.com/onejob-dev/onejob/contract"
)

// Finish is a result that the launcher reports in place of the job's own runner:
// nothing of the job ran, or its runner died.
type Finish struct {
	// ExitStatus, Signal and SignalReason are Buildkite's own fields.
	ExitStatus, Signal, SignalReason string
	// Text goes into the job's log, so that people read the reason on Buildkite's page.
	// The finish call has no field for it.
	Text string
	// Start: the job isn't known to be started, and may be started now. Only a started
	// job has a log, so Text needs that first.
	Start bool
	// StartBy is the latest moment for starting it.
	StartBy time.Time
	// LogEnd and LogSequence are where the log's next chunk begins.
	LogEnd, LogSequence uint64
	// ChunksFailed counts the chunks that are missing before that.
	ChunksFailed int
}

// FinishPolicy is for a result that must get through: about as long as the
// stock agent tries (docs/protocol.md#stock-retries), unless ctx ends first.
var FinishPolicy = acquire.Backoff{
	Attempts: 24, Base: 2 * time.Second, Cap: time.Minute, JitterMin: -time.Second, JitterMax: 5 * time.Second,
	Deadline: 10 * time.Minute, Timeout: time.Minute,
}

// finish reports f for job through client, which has the job's token. Lost
// replies are resolved by Delivered; hurry is acquire.Call's.
func finish(ctx, hurry context.Context, client *api.Client, job *api.Job, f Finish, rnd *acquire.Rand, log *slog.Logger, count func(string)) Delivery {
	if f.Text != "" {
		// A missing text is not counted as a missing chunk of the job's log.
		if err := uploadText(ctx, hurry, client, job, f, rnd, count); err != nil {
			log.WarnContext(ctx, "couldn't write the reason into the job's log", "err", err)
		}
	}
	done := *job
	done.ExitStatus, done.Signal, done.SignalReason = f.ExitStatus, f.Signal, f.SignalReason
	done.FinishedAt = time.Now().UTC().Format(time.RFC3339Nano)
	done.ChunksFailedCount = f.ChunksFailed
	proof := acquire.ProofNone
	confirm := func(ctx context.Context) bool {
		proof = acquire.Delivered(ctx, client, job, rnd, count)
		return proof != acquire.ProofNone
	}
	call := acquire.Call{Name: "finish", Backoff: FinishPolicy, Rand: rnd, Log: log, Hurry: hurry, Count: count, Missing: FinishPolicy.Deadline, Confirm: confirm}
	d := Delivery{Sent: true}
	err := call.Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		return client.FinishJob(ctx, &done, nil)
	})
	if err == nil {
		if d.Delivered = true; proof != acquire.ProofNone {
			d.infer(proof)
		}
		return d
	}
	d.Err = err.Error()
	if retry := (*acquire.RetryError)(nil); errors.As(err, &retry) && retry.Lost {
		d.infer(acquire.Delivered(ctx, client, job, rnd, count))
	}
	return d
}

// infer records whether a call whose reply was lost has arrived.
func (d *Delivery) infer(p acquire.Proof) {
	d.Inferred = p != acquire.ProofNone
	d.Delivered, d.ByToken = d.Inferred, p == acquire.ProofToken
}

func uploadText(ctx, hurry context.Context, client *api.Client, job *api.Job, f Finish, rnd *acquire.Rand, count func(string)) error {
	text := fmt.Sprintf("+++ onejob: this job was ended by its runner\n%s\n", f.Text)
	policy := FinishPolicy
	policy.Attempts, policy.Cap, policy.Deadline = 5, 5*time.Second, 30*time.Second
	// The result matters more than its explanation: the text gets a third of the time
	// that is left.
	ctx, cancel := context.WithTimeout(ctx, policy.Deadline)
	defer cancel()
	defer context.AfterFunc(hurry, func() {
		var due acquire.Due
		if errors.As(context.Cause(hurry), &due) {
			t := time.AfterFunc(time.Until(due.By)/3, cancel)
			context.AfterFunc(ctx, func() { t.Stop() })
		}
	})()
	policy.Timeout = min(policy.Timeout, policy.Deadline)
	if f.Start {
		if !time.Now().Before(f.StartBy) {
			return errors.New("it is too late to start the job for that: another agent may have it")
		}
		sctx, cancel := context.WithDeadline(ctx, f.StartBy)
		defer cancel()
		begun := *job
		begun.StartedAt = time.Now().UTC().Format(time.RFC3339Nano)
		call := acquire.Call{Name: "start", Backoff: policy, Rand: rnd, Count: count, Missing: policy.Deadline}
		if err := call.Do(sctx, func(ctx context.Context, _ int) (*api.Response, error) {
			return client.StartJob(ctx, &begun)
		}); err != nil {
			return fmt.Errorf("starting the job for that: %w", err)
		}
	}
	call := acquire.Call{Name: "chunks", Backoff: policy, Rand: rnd, Count: count, Missing: policy.Deadline}
	return call.Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		return client.UploadChunk(ctx, job.ID, &api.Chunk{
			Data: []byte(text), Sequence: max(f.LogSequence, 1), Offset: f.LogEnd, Size: uint64(len(text)),
		})
	})
}

// JobClient returns a client that speaks for job: with its own token where the
// server gave one, else with the session's.
func JobClient(endpoint, sessionToken, userAgent string, headers map[string]string, job *api.Job, rt http.RoundTripper, log *slog.Logger) *api.Client {
	token := job.Token
	if token == "" {
		token = sessionToken
	}
	client := api.NewClient(acquire.Logger(log), api.Config{
		Endpoint: endpoint, Token: token, UserAgent: userAgent,
		HTTPClient: acquire.HTTPClient(acquire.Authorized(rt, token)),
	})
	// This is the only way to give a client the server's headers.
	return client.FromAgentRegisterResponse(&api.AgentRegisterResponse{AccessToken: token, RequestHeaders: headers})
}

// finishUnrun finishes a job that didn't run, or of which nothing runs any more, and
// records outcome.
func (r *run) finishUnrun(job *acquire.Job, outcome contract.Outcome, f Finish) {
	r.ended(outcome, "%s", f.Text)
	if d := r.finish(job, f); !d.Delivered {
		r.ended(contract.OutcomeUndelivered, "%s The result couldn't be reported: %s", f.Text, d.Err)
	}
}

// finish reports f for job, within the time that is left.
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

// believed is d, without what the job's state, or the refusal of its token, seems to
// prove if the heartbeats failed too: Buildkite may have ended the job as lost. A token
// that was refused before proves nothing at all.
func (r *run) believed(d Delivery) Delivery {
	silence := r.session.Silence()
	before := d.ByToken && r.tokenRefused
	if !d.Inferred || !before && silence < acquire.LostAfter {
		return d
	}
	what := "says that the job is over"
	if d.ByToken {
		what = "refuses the job's token"
	}
	d.Delivered, d.Inferred = false, false
	d.Err = fmt.Sprintf("Buildkite %s and had not heard from its agent for %s; most likely it has ended the job already (lost agent, exit status -1)", what, silence.Round(time.Second))
	if before {
		d.Err = "Buildkite refuses the job's token, as it did before the result was sent"
	}
	return d
}
