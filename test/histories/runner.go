package main

import (
	"fmt"
	"strconv"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// run is the runner: an exit code and what it left as a message.
func (p *hpod) run() (int, *contract.Message) {
	message := func(o contract.Outcome, why string) *contract.Message {
		m := &contract.Message{Outcome: o, Reason: why}
		if p.fate == exits28 || p.fate == exits75 {
			at := p.h.nodeNow().Add(p.lasts("not before", 0, 10*time.Second))
			m.NotBefore = &at
		}
		return m
	}
	p.sleep(p.lasts("runner", 10*time.Millisecond, 800*time.Millisecond))
	select {
	case <-p.kill:
		return contract.ExitTerminated, message(contract.OutcomeStopped, "stopped")
	default:
	}
	switch p.fate {
	case exits28:
		return contract.ExitLocked, message(contract.OutcomeLocked, "locked")
	case exits75:
		return contract.ExitExhausted, message(contract.OutcomeExhausted, "no network")
	case exits77:
		return contract.ExitRefused, message(contract.OutcomeRefused, "token refused")
	case exits78:
		return contract.ExitConfig, message(contract.OutcomeConfig, "bad flags")
	case exits143:
		return contract.ExitTerminated, message(contract.OutcomeStopped, "stopped")
	}
	a, err := p.h.acquire(p)
	if err != nil {
		return contract.ExitRejected, message(contract.OutcomeRejected, err.Error())
	}
	if p.fate == lostReplyOfAcquire {
		a.leave()
		return contract.ExitRejected, message(contract.OutcomeRejected, "422")
	}
	switch p.fate {
	case startsTooLate:
		p.sleep(acceptTimeout + time.Second)
		if a.keeps() {
			break // it starts late, as the runner that sees that it may
		}
		a.leave()
		return contract.ExitExhausted, message(contract.OutcomeTakenBack, "the start came too late")
	case diesAccepted:
		p.truth(func() { p.holds = false })
		return 137, nil
	}
	a.start()
	length := p.lasts("job", 100*time.Millisecond, 6*time.Second)
	if p.fate == partitioned {
		length += 15 * time.Second // or it would be over before it is given up
	}
	for left := length; left > 0 && !a.cancelled(); left -= time.Second {
		if !p.sleep(min(left, time.Second)) {
			break
		}
	}
	status := 0
	switch {
	case p.fate == exits70:
		a.leave()
		return contract.ExitNotRun, message(contract.OutcomeRunnerError, "could not start it")
	case p.fate == oomKilled:
		p.truth(func() { p.holds = false })
		return 137, nil
	case p.fate == hangsForever:
		p.sleep(time.Hour)
		p.truth(func() { p.holds = false })
		return 137, nil
	case p.fate == jobFailed:
		status = 1
	case a.cancelled() || p.isKilled():
		status = -1
	}
	a.finish(status)
	return 0, &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &status, Reason: "exit status " + strconv.Itoa(status)}
}

func (p *hpod) isKilled() bool {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return p.killed
}

// hagent is a runner that has a job.
type hagent struct {
	p                  *hpod
	id, session, token string
}

func (h *history) acquire(p *hpod) (*hagent, error) {
	_, reg := h.call("POST", "register", simulator.DefaultAgentToken, map[string]any{"name": "pod", "meta_data": []string{"queue=default"}, "ignore_in_dispatches": true})
	session, _ := reg["access_token"].(string)
	h.call("POST", "connect", session, nil)
	status, job := h.call("PUT", "jobs/"+p.id.String()+"/acquire", session, nil)
	a := &hagent{p: p, session: session}
	a.id, _ = reg["id"].(string)
	if status != 200 {
		h.note("%s (%s): refused the job: %d %v", p.kjob, p.uid, status, job["message"])
		a.leave()
		return nil, fmt.Errorf("acquire: %d %v", status, job["message"])
	}
	a.token, _ = job["token"].(string)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.noteLocked("%s (%s): acquires %s", p.kjob, p.uid, h.name(p.id))
	p.holds, p.heldSince = true, time.Now()
	if p.fate != ranOK && p.fate != slowStart {
		h.excuse(p.id, p.fate.String())
	}
	return a, nil
}

func (a *hagent) start() {
	a.p.h.mu.Lock()
	a.p.h.runs[a.p.id]++
	a.p.h.mu.Unlock()
	a.p.h.call("PUT", "jobs/"+a.p.id.String()+"/start", a.token, map[string]any{"started_at": time.Now().UTC().Format(time.RFC3339Nano)})
}

// keeps: Buildkite hasn't taken the job back that the agent was slow to start.
func (a *hagent) keeps() bool {
	j, _ := a.p.h.sim.Job(a.p.id.String())
	return j.State == simulator.StateAccepted && j.AgentID == a.id
}

func (a *hagent) cancelled() bool {
	j, _ := a.p.h.sim.Job(a.p.id.String())
	return j.State == simulator.StateCanceling
}

func (a *hagent) finish(status int) {
	a.p.h.call("PUT", "jobs/"+a.p.id.String()+"/finish", a.token, map[string]any{
		"exit_status": fmt.Sprint(status), "finished_at": time.Now().UTC().Format(time.RFC3339Nano), "chunks_failed_count": 0,
	})
	a.leave()
}

// leave ends the session; what it holds fails.
func (a *hagent) leave() {
	a.p.h.call("POST", "disconnect", a.session, nil)
	a.p.truth(func() { a.p.holds = false })
}
