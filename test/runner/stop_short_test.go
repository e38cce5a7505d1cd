package runner_test

import (
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// podEnvironment is what a pod of the default template tells its runner of the
// time that it has.
func podEnvironment(t *testing.T, id string) (env []string) {
	t.Helper()
	tpl, err := kjob.Parse(nil, config.Queue{Name: "default", Namespace: "builds", OnTerm: "cancel"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := kjob.New(stacks.Job{ID: contract.JobID(id)}, 1, tpl, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range kjob.FindAgent(&k.Spec.Template.Spec).Env {
		if strings.Contains(e.Name, "GRACE") {
			env = append(env, e.Name+"="+e.Value)
		}
	}
	if !slices.Contains(env, contract.EnvGrace+"=60") {
		t.Fatalf("the default pod's environment is %v, want it to promise a minute", env)
	}
	return env
}

// TestStopInLessTime is a pod of the default template, which promises a minute,
// that is deleted with ten seconds: what the kubelet really gives stands nowhere in
// the pod. Ten seconds after SIGTERM all is killed, as it would.
//
// It isn't parallel to other tests: ten seconds are ten seconds.
func TestStopInLessTime(t *testing.T) {
	const given = 10 * time.Second
	for _, tt := range []struct {
		name, command string
		faults        []simulator.Fault
		onTheWire     bool   // SIGTERM comes while the job is acquired
		job           string // exit status, signal, signal reason
	}{
		{name: "ignores-sigterm", command: stubborn, job: "-1/SIGKILL/agent_stop"},
		{name: "ends-in-time", command: "trap 'sleep 2; exit 3' TERM; echo begun; while true; do sleep 0.1; done", job: "3//agent_stop"},
		{name: "no-log-is-taken", command: "trap 'echo bye; exit 3' TERM; echo begun; while true; do sleep 0.1; done", faults: []simulator.Fault{{Endpoint: "chunks", Status: 503}}, job: "3//agent_stop"},
		{name: "finish-fails-first", command: stubborn, faults: []simulator.Fault{{Endpoint: "finish", Status: 503, Times: 3}}, job: "-1/SIGKILL/agent_stop"},
		{name: "finish-hangs-first", command: stubborn, faults: []simulator.Fault{{Endpoint: "finish", Delay: time.Minute, Times: 1}}, job: "-1/SIGKILL/agent_stop"},
		{name: "granted-on-the-wire", command: "echo never", onTheWire: true, faults: []simulator.Fault{{Endpoint: "acquire", Delay: 3 * time.Second}}, job: "-1//agent_stop"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Config{})
			id := l.command(tt.command)
			var fault string
			for _, f := range tt.faults {
				f.JobID = id
				fault = l.AddFault(f)
			}
			cmd := l.oursCommand(id)
			cmd.Env = append(cmd.Env, podEnvironment(t, id)...)
			p := l.start(cmd)
			switch {
			case tt.onTheWire:
				l.awaitFault(fault)
			case tt.name == "no-log-is-taken":
				l.await("the job to run", func() bool { return l.job(id).State == simulator.StateRunning })
				time.Sleep(time.Second) // for its trap
			default:
				begun(l, id)
			}
			at := time.Now()
			p.signal(syscall.SIGTERM)
			p.doneWithin(given - time.Since(at))
			p.signal(syscall.SIGKILL)
			if got := strings.TrimPrefix(l.ended(id), ", job "); got != tt.job {
				t.Errorf("%v after SIGTERM the job ended with %q, want %q", time.Since(at).Round(time.Millisecond), got, tt.job)
			}
			if ended := l.job(id).FinishedAt.Sub(at); ended > given-contract.GraceTail/2 {
				t.Errorf("the job was finished %v after SIGTERM", ended)
			}
		})
	}
}

// TestStopReportsAfterAll: what couldn't be reported in the least of time is
// reported later, where the kubelet gives what the pod promises.
func TestStopReportsAfterAll(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	id := l.command(stubborn)
	outage := l.AddFault(simulator.Fault{Endpoint: "finish", Status: 503})
	cmd := l.oursCommand(id)
	// Twice the default: this is about what comes after.
	cmd.Env = append(append(cmd.Env, podEnvironment(t, id)...), contract.EnvLeastGrace+"=20")
	p := l.start(cmd)
	begun(l, id)
	p.signal(syscall.SIGTERM)
	time.Sleep(25 * time.Second)
	if n := l.FaultCount(outage); n < 2 || n > 20 {
		t.Errorf("finish was tried %d times in some 12 s, want some, and some left to try", n)
	}
	l.RemoveFault(outage)
	p.wantExit(contract.ExitOK)
	p.wantOutcome(contract.OutcomeFinished)
	l.wantJob(id, "-1", "SIGKILL", "agent_stop")
	l.wantSettled(id)
}
