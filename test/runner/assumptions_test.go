package runner_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// meeting is the trouble in which the sides of an assumption differ for a runner.
type meeting struct {
	conf    func(*simulator.Config)
	command string // after a line that counts its runs
	queue   string // the step's
	faults  []simulator.Fault
	flags   []string // of the first attempt
	before  func(l *lab, id string)
	act     func(l *lab, id string) // during the first attempt
	between func(l *lab, id string) // before the second

	// want is, by side, what becomes of the job: the runners' exit codes, the job's end as
	// "exit status/signal/reason", and how often it ran.
	want map[string]string
}

// atMost is how often an attempt is made while Buildkite offers the job.
const atMost = 3

const (
	runs   = "0 | 0// | ran 1"
	second = "27 0 | 0// | ran 1" // the second attempt has it
)

// both is want of an assumption whose sides make no difference to the job.
func both(what string, sides ...string) map[string]string {
	want := map[string]string{}
	for _, s := range sides {
		want[s] = what
	}
	return want
}

// TestAssumptions has the real runner meet each side of each assumption about an agent and its
// job. Whatever Buildkite does, no job runs twice and the ledger has no violation; and while
// Buildkite offers the job, as the scheduler would, another runner is started.
func TestAssumptions(t *testing.T) {
	t.Parallel()
	for _, a := range assumptions.All {
		m, meets := meetings[a.Name]
		if !meets {
			if byStack[a.Name] == "" {
				t.Errorf("%s: no runner meets it, and nothing says who does", a.Name)
			}
			continue
		}
		for _, side := range a.Sides {
			t.Run(a.Name+"="+side.Name, func(t *testing.T) {
				t.Parallel()
				m.meet(t, assumptions.Shipped().With(a.Name, side.Name), m.want[side.Name])
			})
		}
	}
}

func (m meeting) meet(t *testing.T, profile assumptions.Profile, want string) {
	conf, queue := simulator.Config{Profile: profile}, cmp.Or(m.queue, "default")
	if m.conf != nil {
		m.conf(&conf)
	}
	l := newLab(t, conf)
	ran := filepath.Join(l.dir, "ran")
	id := l.build(simulator.BuildRequest{}, fmt.Sprintf("steps: [{command: %q, agents: {queue: %q}}]", "echo ran >> "+ran+"; "+m.command, queue))[0]
	for _, f := range m.faults {
		l.AddFault(f)
	}
	if m.before != nil {
		m.before(l, id)
	}
	var exits []string
	for n := range atMost {
		flags := append([]string{}, quick...)
		if n == 0 {
			flags = append(flags, m.flags...)
		} else {
			flags = append(flags, "--tags=queue="+queue)
		}
		p := l.ours(id, flags...)
		if n == 0 && m.act != nil {
			m.act(l, id)
		}
		exits = append(exits, fmt.Sprint(p.message().ExitCode))
		l.ClearFaults()
		if n == 0 && m.between != nil {
			m.between(l, id)
		}
		l.await("its end, or its offer", func() bool { s := l.job(id).State; return s.Terminal() || s == simulator.StateScheduled })
		if l.job(id).State.Terminal() {
			break
		}
	}
	lines, _ := os.ReadFile(ran)
	times := strings.Count(string(lines), "ran")
	got := fmt.Sprintf("%s | %s | ran %d", strings.Join(exits, " "), strings.TrimPrefix(l.ended(id), ", job "), times)
	if times > 1 || got != want {
		t.Errorf("it is %s; want %s; calls: %s", got, want, l.calls())
	}
	l.wantSettled(id)
}

// meetings are those of the assumptions in which a runner's calls have a part.
var meetings = map[string]meeting{
	"unstarted-job": {
		faults: []simulator.Fault{{Endpoint: "start", Status: 503}}, act: untilTakenBack,
		want: map[string]string{"offered-again": "75 0 | 0// | ran 1", "finished": "75 | -1// | ran 0", "kept": runs},
	},
	"unstarted-job-token": {
		faults: []simulator.Fault{{Endpoint: "start", Status: 503}}, act: untilTakenBack,
		want: both("75 0 | 0// | ran 1", "refused", "reads-state"),
	},
	"disconnect-accepted": {
		conf: losesSoon, faults: []simulator.Fault{{Endpoint: "acquire", Reset: "after", Times: 1}},
		want: map[string]string{"ends-job": "27 | -1// | ran 0", "lost-later": "27 | -1// | ran 0", "offered-again": second},
	},
	"disconnect-running": {
		conf: losesSoon, faults: []simulator.Fault{{Endpoint: "finish", Status: 422}},
		want: both("70 | -1// | ran 1", "ends-job", "lost-later"),
	},
	"disconnect-reason": {
		faults: []simulator.Fault{{Endpoint: "finish", Status: 422}},
		want:   map[string]string{"none": "70 | -1// | ran 1", "agent-stop": "70 | -1//agent_stop | ran 1"},
	},
	"locked-states": {
		before: limit, act: release("acquire"),
		want: map[string]string{"all-waiting": runs, "dependencies": second},
	},
	"locked-retry-after": {before: limit, act: release("acquire"), want: both(runs, "none", "sent")},
	"acquire-again": {
		faults: []simulator.Fault{{Endpoint: "acquire", Reset: "after", Times: 1}},
		want:   map[string]string{"refused": "27 | -1// | ran 0", "granted": runs},
	},
	"acquire-unconnected": {want: both(runs, "granted", "refused")},
	"acquire-paused": {
		before: pause(true), between: pause(false),
		want: map[string]string{"granted": runs, "refused": second},
	},
	"acquire-other-queue": {
		conf: twoQueues, queue: "linux", flags: []string{"--tags=queue=default"},
		want: map[string]string{"not-found": second, "granted": runs},
	},
	"register-unknown-queue": {
		conf: twoQueues, queue: "default", flags: []string{"--tags=queue=nowhere"},
		want: map[string]string{"refused": "77 0 | 0// | ran 1", "default-queue": runs},
	},
	"session-reads-job": {
		faults: []simulator.Fault{{Endpoint: "acquire", Reset: "after", Times: 1}},
		want:   both("27 | -1// | ran 0", "allowed", "refused"),
	},
	"start-again": {faults: []simulator.Fault{{Endpoint: "start", Reset: "after", Times: 1}}, want: both(runs, "taken", "refused")},
	"start-canceling": {
		command: "sleep 60", faults: []simulator.Fault{{Endpoint: "start", Status: 503}},
		act: func(l *lab, id string) { // no start comes through before the job is canceled
			l.awaitCall("start", 1)
			ok(l, l.CancelJob(id))
			l.ClearFaults()
		},
		want: map[string]string{"refused": "0 | -1//cancel | ran 0", "taken": "0 | -1/SIGTERM/cancel | ran 1"},
	},
	"lost-agent": {
		conf: losesSoon, command: long,
		act: func(l *lab, id string) {
			begun(l, id)
			fault := l.AddFault(simulator.Fault{Endpoint: "heartbeat", Status: 503})
			l.await("the agent's loss", func() bool { return l.job(id).State.Terminal() })
			l.RemoveFault(fault)
		},
		want: both("70 | -1// | ran 1", "revives", "refused"),
	},
	"ended-job-token":    {faults: []simulator.Fault{{Endpoint: "finish", Reset: "after", Times: 1}}, want: both(runs, "refused", "reads-state")},
	"heartbeat-interval": {want: both(runs, "short", "two-minutes")},
	"job-status-interval": {
		command: long, act: func(l *lab, id string) { begun(l, id); ok(l, l.CancelJob(id)) },
		want: both("0 | -1/SIGTERM/cancel | ran 1", "short", "half-minute"),
	},
	"chunk-size":     {command: "seq 20000", between: wholeLog("20000"), want: both(runs, "100-kib", "1-mib")},
	"chunk-interval": {command: "seq 1000; sleep 2; echo last", between: wholeLog("last"), want: both(runs, "short", "ten-seconds")},
	"log-limit":      {conf: shortLog, command: "seq 10000", between: cutLog, want: both(runs, "documented", "unnamed")},
	"chunk-unstarted": {
		flags: []string{"--allowed-repositories=^https://only/"},
		want:  both("70 | -1//agent_refused | ran 0", "refused", "taken"),
	},
	"log-beyond-limit": {
		conf: shortLog, command: "seq 10000", want: both(runs, "dropped", "refused"),
		between: func(l *lab, id string) { // the runner sends all of it, and says what wasn't taken
			if l.Count("chunks", 422) == 0 {
				cutLog(l, id)
			} else if n := l.job(id).ChunksFailedCount; n == 0 || n != l.Count("chunks", 422) {
				l.Errorf("%d chunks were refused, finish says %d", l.Count("chunks", 422), n)
			}
		},
	},
}

// byStack says who meets the other assumptions: the scheduler, the status page's reader, or
// only Buildkite itself.
var byStack = map[string]string{}

func init() {
	for _, name := range []string{
		"stack-finish-held", "stack-finish-other", "stack-finish-unreserved", "stack-finish-again", "long-detail", "notify-unreserved", "short-reservation",
		"shorter-renewal", "job-list", "job-states", "unknown-job-state", "lost-stack", "stack-limit", "refused-calls", "limit-retry-after",
		"metrics-scheduled", "any-value-rule", "default-queue-rule", "star-lost-agent", "star-stack-finish", "exhausted-rule",
	} {
		byStack[name] = "scheduler.TestUnderEachProfile"
	}
}

// untilTakenBack lets no start through until the job isn't the runner's any more, or for as
// long as that would take.
func untilTakenBack(l *lab, id string) {
	l.Helper()
	l.awaitCall("start", 1)
	for end := time.Now().Add(33 * time.Second); l.job(id).State == simulator.StateAccepted; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			l.ClearFaults()
			return
		}
	}
}

// losesSoon makes Buildkite lose an agent after seconds, if it is silent; not one that only
// waits for a busy processor.
func losesSoon(c *simulator.Config) { c.HeartbeatTimeout = 8 * time.Second }

func twoQueues(c *simulator.Config) { c.Queues = []string{"default", "linux"} }

const shortest = 2000

func shortLog(c *simulator.Config) { c.LogMaxSizeBytes = shortest }

func limit(l *lab, id string) { l.Helper(); ok(l, l.LimitJob(id)) }

// release lets a limited job go on once an endpoint was called.
func release(endpoint string) func(*lab, string) {
	return func(l *lab, id string) {
		l.Helper()
		l.awaitCall(endpoint, 1)
		ok(l, l.ReleaseJob(id))
	}
}

func pause(yes bool) func(*lab, string) {
	return func(l *lab, id string) { l.Helper(); ok(l, l.SetQueuePaused("default", yes)) }
}

// wholeLog wants every byte of the log, with its last line.
func wholeLog(last string) func(*lab, string) {
	return func(l *lab, id string) {
		l.Helper()
		if j := l.job(id); !j.LogComplete || j.ChunksFailedCount != 0 || !strings.HasSuffix(strings.TrimSpace(l.log(id)), last) {
			l.Errorf("the log has %d bytes, complete %t, %d chunks failed", j.LogBytes, j.LogComplete, j.ChunksFailedCount)
		}
	}
}

// cutLog wants a log that Buildkite cut at its limit, all the same to the job.
func cutLog(l *lab, id string) {
	l.Helper()
	if j := l.job(id); len(l.log(id)) != shortest || j.ChunksFailedCount != 0 {
		l.Errorf("%d bytes of the log are kept of %d, %d chunks failed", len(l.log(id)), j.LogBytes, j.ChunksFailedCount)
	}
}

func ok(l *lab, err error) {
	l.Helper()
	if err != nil {
		l.Error(err)
	}
}
