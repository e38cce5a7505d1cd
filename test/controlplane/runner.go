package controlplane

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// Runner is a pod with a fake runner: its statuses as the kubelet reports them, its
// calls as the runner makes them.
type Runner struct {
	// Pod is as it was when it got its node.
	Pod *corev1.Pod
	// Job is the UUID of the Buildkite job that it is for.
	Job string

	kubelet *Kubelet
	started metav1.Time
	session string // access token
	token   string // of the job
}

// Attempt is the number in the pod's label, 1 if it has none.
func (r *Runner) Attempt() int {
	n, _ := strconv.Atoi(r.Pod.Labels[contract.LabelAttempt])
	return max(n, 1)
}

// Start reports the pod's containers as running.
func (r *Runner) Start() {
	r.started = metav1.Now()
	r.report(corev1.PodRunning, "", corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: r.started}})
}

// Exit reports the pod's end with an exit code and the runner's message.
func (r *Runner) Exit(code int, m contract.Message) {
	m.ExitCode, m.JobID, m.Attempt = code, contract.JobID(r.Job), r.Attempt()
	phase, reason := corev1.PodSucceeded, "Completed"
	if code != contract.ExitOK {
		phase, reason = corev1.PodFailed, "Error"
	}
	r.report(phase, "", corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: int32(code), Reason: reason, Message: string(m.Encode()), StartedAt: r.started, FinishedAt: metav1.Now(),
	}})
}

// Lose ends the pod as an eviction does: no runner has a word to say. It
// returns when the API server has taken it.
func (r *Runner) Lose() time.Time {
	r.report(corev1.PodFailed, "Evicted", corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}})
	return time.Now()
}

func (r *Runner) report(phase corev1.PodPhase, reason string, state corev1.ContainerState) {
	status := corev1.PodStatus{Phase: phase, Reason: reason, StartTime: &r.started}
	if r.started.IsZero() {
		status.StartTime = nil
	}
	for _, c := range r.Pod.Spec.Containers {
		running := state.Running != nil
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, Image: c.Image, State: state, Ready: running, Started: &running})
	}
	pods := r.kubelet.set.Kube.CoreV1().Pods(r.Pod.Namespace)
	r.kubelet.insist(func(ctx context.Context) error {
		_, err := patch(ctx, pods.Patch, r.Pod.Name, corev1.Pod{Status: status})
		return err
	})
}

// Acquire registers an agent and takes the job; the status is the reply's of
// the call that decided, 0 when there was none.
func (r *Runner) Acquire(ctx context.Context) (status int, err error) {
	var agent, job struct {
		AccessToken string `json:"access_token"`
		Token       string `json:"token"`
	}
	register := map[string]any{"name": r.Pod.Name, "meta_data": []string{"queue=" + Queue}, "ignore_in_dispatches": true}
	if status, err = r.call(ctx, http.MethodPost, "register", simulator.DefaultAgentToken, register, &agent); err != nil {
		return status, err
	}
	r.session = agent.AccessToken
	if status, err = r.call(ctx, http.MethodPost, "connect", r.session, nil, nil); err != nil {
		return status, err
	}
	if status, err = r.call(ctx, http.MethodPut, "jobs/"+r.Job+"/acquire", r.session, nil, &job); err != nil {
		_, _ = r.call(ctx, http.MethodPost, "disconnect", r.session, nil, nil)
		return status, err
	}
	r.token = job.Token
	return r.call(ctx, http.MethodPut, "jobs/"+r.Job+"/start", r.token, map[string]any{"started_at": stamp()}, nil)
}

// Finish reports the job's end and takes leave.
func (r *Runner) Finish(ctx context.Context, exitStatus int) error {
	_, err := r.call(ctx, http.MethodPut, "jobs/"+r.Job+"/finish", r.token, map[string]any{
		"exit_status": strconv.Itoa(exitStatus), "finished_at": stamp(), "chunks_failed_count": 0,
	}, nil)
	if err == nil {
		_, err = r.call(ctx, http.MethodPost, "disconnect", r.session, nil, nil)
	}
	return err
}

func stamp() string { return time.Now().UTC().Format(time.RFC3339Nano) }

func (r *Runner) call(ctx context.Context, method, path, token string, in, out any) (int, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, method, r.kubelet.set.Endpoint+"/"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Token "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.kubelet.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return 0, err
	case resp.StatusCode/100 != 2:
		return resp.StatusCode, fmt.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, text)
	case out == nil:
		return resp.StatusCode, nil
	}
	return resp.StatusCode, json.Unmarshal(text, out)
}

// Runs is the behaviour of a pod that runs its job for a time and reports it.
func Runs(d time.Duration) Behaviour {
	return func(ctx context.Context, r *Runner) {
		r.Start()
		status, err := r.Acquire(ctx)
		switch {
		case ctx.Err() != nil:
			r.Exit(contract.ExitTerminated, contract.Message{Outcome: contract.OutcomeStopped})
			return
		case status == http.StatusUnprocessableEntity:
			r.Exit(contract.ExitRejected, contract.Message{Outcome: contract.OutcomeRejected, Reason: err.Error()})
			return
		case err != nil:
			r.Exit(contract.ExitExhausted, contract.Message{Outcome: contract.OutcomeExhausted, Reason: err.Error()})
			return
		}
		exit := 0
		if sleep(ctx, d) != nil {
			exit = -1
		}
		if err := r.Finish(context.WithoutCancel(ctx), exit); err != nil {
			r.Exit(contract.ExitNotRun, contract.Message{Outcome: contract.OutcomeUndelivered, Reason: err.Error(), ExitStatus: &exit})
			return
		}
		r.Exit(contract.ExitOK, contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &exit})
	}
}

// Exits is the behaviour of a pod whose runner ends without having had its job.
func Exits(outcome contract.Outcome) Behaviour {
	return func(_ context.Context, r *Runner) {
		r.Start()
		r.Exit(outcome.ExitCode(), contract.Message{Outcome: outcome, Reason: "as the test says"})
	}
}
