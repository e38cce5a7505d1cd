package runner_test

import (
	"strings"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// long is a job that ends only if it is made to.
const long = "echo begun; sleep 60; echo ended"

// stubborn is one that takes no hint.
const stubborn = "trap '' TERM INT; echo begun; n=0; while [ $n -lt 600 ]; do sleep 0.1; n=$((n+1)); done"

// begun is an act: it waits until the job has said so.
func begun(l *lab, id string) {
	l.Helper()
	l.await("the job to begin", func() bool { return strings.Contains(l.log(id), "begun") })
}

// runSequences are about the job while it runs.
func runSequences() []sequence {
	return []sequence{
		{
			name: "cancel", command: long,
			act: func(l *lab, _ *process, id string) {
				begun(l, id)
				if err := l.CancelJob(id); err != nil {
					l.Error(err)
				}
			},
			outcome: contract.OutcomeFinished, calls: took, job: "-1/SIGTERM/cancel",
		},
		{
			name: "timeout", command: long,
			act: func(l *lab, _ *process, id string) {
				begun(l, id)
				if err := l.TimeOutJob(id); err != nil {
					l.Error(err)
				}
			},
			outcome: contract.OutcomeFinished, calls: took, job: "-1/SIGTERM/cancel",
			check: func(l *lab, id string, _ contract.Message) {
				if got := l.job(id).State; got != simulator.StateTimedOut {
					l.Errorf("job is %s, want timed out", got)
				}
			},
		},
		{
			name: "exit3", command: "exit 3", drop: []string{"chunks"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "3//",
		},
		{
			name: "exit3-reflect", command: "exit 3", drop: []string{"chunks"}, flags: []string{"--reflect-exit-status"},
			exit: 3, outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "3//",
			stock: 3,
		},
		{
			name: "sigself", make: realCommand("kill -9 $$"), real: true, flags: []string{"--reflect-exit-status", "--skip-checkout"},
			exit: 255, outcome: contract.OutcomeFinished, calls: took, job: "255//",
			stock: 255,
		},
		{
			name: "header-times", command: "sleep 1; echo '--- one'; sleep 2; echo '--- two'; sleep 1", flags: []string{"--no-ansi-timestamps"},
			drop: []string{"chunks", "header_times"}, outcome: contract.OutcomeFinished,
			calls: "register connect acquire start finish disconnect", job: "0//",
			check: func(l *lab, id string, _ contract.Message) {
				if got := l.job(id).HeaderTimes; len(got) != 2 {
					l.Errorf("header times = %v, want those of two headers", got)
				}
			},
		},
		{
			name: "hb-410", command: long, drop: []string{"chunks"}, stock: unrecorded,
			act: func(l *lab, _ *process, id string) {
				begun(l, id)
				l.AddFault(simulator.Fault{Endpoint: "heartbeat", Status: 410})
			},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start heartbeat:410 finish disconnect", job: "-1/SIGTERM/agent_stop",
		},
		{
			// Buildkite has answered so to live agents, in a partition: for two minutes it
			// is none.
			name: "hb-404", command: "sleep 3", faults: one(simulator.Fault{Endpoint: "heartbeat", Status: 404}), drop: []string{"chunks", "heartbeat"}, stock: unrecorded,
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "0//",
			check: func(l *lab, _ string, _ contract.Message) {
				if l.Count("heartbeat", 404) == 0 {
					l.Error("no heartbeat")
				}
			},
		},
		{
			name: "hb-500", command: "sleep 3", faults: one(simulator.Fault{Endpoint: "heartbeat", Status: 500}), drop: []string{"chunks", "heartbeat"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "0//",
			check: func(l *lab, _ string, _ contract.Message) {
				if l.Count("heartbeat", 500) == 0 {
					l.Error("no heartbeat")
				}
			},
		},
		{
			name: "state-401", command: long, faults: one(simulator.Fault{Endpoint: "job_state", Status: 401}), drop: []string{"chunks", "job_state", "heartbeat"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "-1/SIGTERM/cancel",
			check: func(l *lab, id string, m contract.Message) {
				for what, text := range map[string]string{"the job's log": l.log(id), "the message": m.Reason} {
					if want := "refused its token, so the runner stopped the job"; strings.Count(text, want) != 1 {
						l.Errorf("%s doesn't say %q once:\n%s", what, want, text)
					}
				}
			},
		},
		{
			name: "state-404", command: "sleep 3", faults: one(simulator.Fault{Endpoint: "job_state", Status: 404}), drop: []string{"chunks", "job_state"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish disconnect", job: "0//",
		},
		{
			name: "start-422", faults: one(simulator.Fault{Endpoint: "start", Status: 422}), drop: []string{"chunks"},
			exit: contract.ExitNotRun, outcome: contract.OutcomeStartRefused,
			calls: "register connect acquire start:422 finish stop disconnect", job: "-1//process_run_error",
			check: func(l *lab, id string, _ contract.Message) {
				// A log can't be written to a job that isn't started.
				if got := l.job(id).ChunksFailedCount; got != 0 {
					l.Errorf("chunks_failed_count is %d, but no log was lost", got)
				}
			},
			stockAbandons: true,
		},
		{
			name: "start-500-200", faults: one(simulator.Fault{Endpoint: "start", Status: 500, Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start:500 start chunks finish disconnect", job: "0//",
		},
		{
			name: "start-lost", faults: one(simulator.Fault{Endpoint: "start", Reset: "after", Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start:0 start chunks finish disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			// A web page in place of the reply; the repeat is refused, and the
			// job's state says whose it was.
			name: "start-lost-strict", conf: simulator.Config{Profile: simulator.Profile{StartAgain: assumptions.StartAgainRefused}}, faults: one(simulator.Fault{Endpoint: "start", Garbage: "after", Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start start:422 chunks finish disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			name: "start-reset-strict", conf: simulator.Config{Profile: simulator.Profile{StartAgain: assumptions.StartAgainRefused}}, faults: one(simulator.Fault{Endpoint: "start", Reset: "after", Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start:0 start:422 chunks finish disconnect", job: "0//",
			stock: unrecorded, stockAbandons: true,
		},
	}
}

// reportSequences are about getting the log and the result through.
func reportSequences() []sequence {
	return []sequence{
		{
			name: "chunks-400", faults: one(simulator.Fault{Endpoint: "chunks", Status: 400}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks:400 finish disconnect", job: "0//",
			check: func(l *lab, id string, m contract.Message) {
				if got := l.job(id).ChunksFailedCount; got != 1 || m.LogChunksFailed != 1 {
					l.Errorf("chunks_failed_count is %d, the message says %d, want 1", got, m.LogChunksFailed)
				}
			},
		},
		{
			name: "chunks-500-200", faults: one(simulator.Fault{Endpoint: "chunks", Status: 500, Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks:500 chunks finish disconnect", job: "0//",
			check: wantLog,
		},
		{
			name: "chunks-429-ra1", faults: one(simulator.Fault{Endpoint: "chunks", Status: 429, Times: 1, Header: map[string]string{"Retry-After": "1"}}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks:429 chunks finish disconnect", job: "0//",
			check: wantLog, stock: unrecorded,
		},
		{
			name: "chunks-lost", faults: one(simulator.Fault{Endpoint: "chunks", Reset: "after", Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks:0 chunks finish disconnect", job: "0//",
			check: wantLog, stock: unrecorded,
		},
		{
			name: "finish-422", faults: one(simulator.Fault{Endpoint: "finish", Status: 422}),
			exit: contract.ExitNotRun, outcome: contract.OutcomeUndelivered,
			calls: "register connect acquire start chunks finish:422 stop disconnect", job: "-1//",
		},
		{
			name: "finish-500-200", faults: one(simulator.Fault{Endpoint: "finish", Status: 500, Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks finish:500 finish disconnect", job: "0//",
		},
		{
			name: "finish-429-ra1", faults: one(simulator.Fault{Endpoint: "finish", Status: 429, Times: 1, Header: map[string]string{"Retry-After": "1"}}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks finish:429 finish disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			// A proxy says that all is well, and Buildkite has heard nothing.
			name: "finish-page", faults: one(simulator.Fault{Endpoint: "finish", Garbage: "before", Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks finish*2 disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			name: "finish-lost", faults: one(simulator.Fault{Endpoint: "finish", Reset: "after", Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks finish:0 finish:401 job_state:401 disconnect", job: "0//",
			stock: unrecorded,
		},
		{
			// Lost too, but 503 says that nobody acted on it; then it's taken.
			name: "finish-503-200", faults: one(simulator.Fault{Endpoint: "finish", Status: 503, Times: 1}),
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks finish:503 finish disconnect", job: "0//",
			stock: unrecorded,
		},
	}
}

// wantLog asserts that the whole log arrived.
func wantLog(l *lab, id string, m contract.Message) {
	l.Helper()
	if j := l.job(id); !j.LogComplete || j.ChunksFailedCount != 0 || m.LogChunksFailed != 0 || !strings.Contains(l.log(id), "hello") {
		l.Errorf("the log has holes: %d chunks failed; it is %q", j.ChunksFailedCount, l.log(id))
	}
}

// realCommand makes a job for the stock bootstrap.
func realCommand(command string) func(*lab) string {
	return func(l *lab) string {
		l.Helper()
		return l.command(command)
	}
}

// twice is an act: it sends SIGTERM, and again when the first was taken notice of.
func twice(wait func(l *lab, id string)) func(*lab, *process, string) {
	return func(l *lab, p *process, id string) {
		l.Helper()
		wait(l, id)
		p.signal(syscall.SIGTERM)
		time.Sleep(500 * time.Millisecond) // two at once are one to the kernel
		p.signal(syscall.SIGTERM)
	}
}

// calls is a wait for the first answer of an endpoint.
func called(endpoint string) func(*lab, string) {
	return func(l *lab, _ string) {
		l.Helper()
		l.awaitCall(endpoint, 1)
	}
}

// signalSequences are about signals.
func signalSequences() []sequence {
	grace := []string{"--cancel-grace-period=6", "--signal-grace-period-seconds=2"}
	return []sequence{
		{
			name: "term-register", faults: one(simulator.Fault{Endpoint: "register", Status: 500}), act: sigterm("register"),
			exit: 143, outcome: contract.OutcomeStopped, calls: "register:500", stock: 143,
		},
		{
			name: "term-connect", faults: one(simulator.Fault{Endpoint: "connect", Status: 500, Times: 2}), act: sigterm("connect"),
			exit: 143, outcome: contract.OutcomeStopped, calls: "register connect:500 stop disconnect",
		},
		{
			name: "term-acquire-backoff", faults: one(simulator.Fault{Endpoint: "acquire", Status: 423}), act: sigterm("acquire"),
			exit: 143, outcome: contract.OutcomeStopped, calls: "register connect acquire:423 stop disconnect",
		},
		{
			name: "term-acquire-hang", faults: one(simulator.Fault{Endpoint: "acquire", Hang: true}),
			act: func(l *lab, p *process, _ string) {
				l.awaitFault("fault-1")
				p.signal(syscall.SIGTERM)
			},
			flags: grace, drop: []string{"acquire"},
			exit: 143, outcome: contract.OutcomeStopped, calls: "register connect stop disconnect",
		},
		{
			// The start after that is for the reason, which goes into the log.
			name: "term-start", faults: one(simulator.Fault{Endpoint: "start", Status: 500, Times: 1, Header: map[string]string{"Retry-After": "3"}}), act: sigterm("start"),
			exit: contract.ExitNotRun, outcome: contract.OutcomeStoppedAcquired,
			calls: "register connect acquire start:500 start chunks finish stop disconnect", job: "-1//agent_stop",
		},
		{
			name: "term-running", command: "echo begun; sleep 4", drop: []string{"chunks"},
			act: func(l *lab, p *process, id string) {
				begun(l, id)
				p.signal(syscall.SIGTERM)
			},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish stop disconnect", job: "-1/SIGTERM/agent_stop",
		},
		{
			name: "term-chunks", faults: one(simulator.Fault{Endpoint: "chunks", Status: 500, Times: 2}), act: sigterm("chunks"), drop: []string{"chunks"},
			flags:   []string{"--cancel-grace-period=20", "--signal-grace-period-seconds=2"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish stop disconnect", job: "0//", check: wantLog,
		},
		{
			name: "term-finish", faults: one(simulator.Fault{Endpoint: "finish", Status: 500, Times: 2}), act: sigterm("finish"),
			flags:   []string{"--cancel-grace-period=20", "--signal-grace-period-seconds=2"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start chunks finish:500*2 finish stop disconnect", job: "0//",
		},
		{
			name: "term2-start", faults: one(simulator.Fault{Endpoint: "start", Status: 500, Times: 4}), act: twice(called("start")), drop: []string{"start", "chunks"},
			command: long, flags: grace,
			exit: contract.ExitNotRun, outcome: contract.OutcomeStoppedAcquired,
			calls: "register connect acquire finish stop disconnect", job: "-1//agent_stop", stock: 1,
		},
		{
			name: "term2-running-polite", command: long, act: twice(begun), drop: []string{"chunks"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish stop disconnect", job: "-1/SIGTERM/agent_stop",
		},
		{
			name: "term2-running-stubborn", command: stubborn, act: twice(begun), flags: grace, drop: []string{"chunks"},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish stop disconnect", job: "-1/SIGKILL/agent_stop",
		},
		{
			name: "term2-finish", faults: one(simulator.Fault{Endpoint: "finish", Status: 500}), act: twice(called("finish")), flags: grace, drop: []string{"finish"},
			exit: contract.ExitNotRun, outcome: contract.OutcomeUndelivered,
			calls: "register connect acquire start chunks stop disconnect", job: "-1//", stock: 1,
		},
		{
			name: "quit-running", command: stubborn, flags: grace, drop: []string{"chunks"},
			act: func(l *lab, p *process, id string) {
				begun(l, id)
				p.signal(syscall.SIGQUIT)
			},
			outcome: contract.OutcomeFinished, calls: "register connect acquire start finish stop disconnect", job: "-1/SIGKILL/agent_stop",
		},
	}
}

// awaitFault waits until a fault acts: the call it holds isn't counted before
// it is answered.
func (l *lab) awaitFault(id string) {
	l.Helper()
	l.await(id, func() bool { return l.FaultCount(id) > 0 })
}
