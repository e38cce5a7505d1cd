package runner_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// soakResult is what became of one job's runner.
type soakResult struct {
	plan    soakPlan
	id      string
	code    int
	message contract.Message
	output  string
	sent    string // the plan's kill, once it was done
	early   bool   // it died of a signal before it had begun
	wrong   string
	took    time.Duration
}

type soakResults []soakResult

func (rs soakResults) of(id string) soakResult {
	for _, r := range rs {
		if r.id == id {
			return r
		}
	}
	return soakResult{}
}

// read reads the termination message.
func (r *soakResult) read(p *process) {
	b, err := os.ReadFile(filepath.Join(p.dir, "message"))
	if err == nil {
		r.message, err = contract.ParseMessage(string(b))
	}
	switch {
	case err != nil && diedEarly(r.sent, p.cmd.ProcessState.Sys().(syscall.WaitStatus), r.output):
		r.early = true
	case err != nil && r.sent != "KILL":
		r.wrong = fmt.Sprintf("no termination message: %v", err)
	case err == nil && r.message.ExitCode != r.code && r.sent != "KILL":
		r.wrong = fmt.Sprintf("the message says exit code %d", r.message.ExitCode)
	}
}

// diedEarly reports that one of the signals that were sent ended the process
// itself, before it had installed its handlers. As that is the first thing that
// it does, it has written nothing by then. But at SIGQUIT Go's own handler, which
// is there a little earlier, writes where everything stands and exits with 2, as
// a panic does.
func diedEarly(sent string, ws syscall.WaitStatus, output string) bool {
	sigs := strings.Fields(sent)
	switch {
	case ws.Signaled():
		name := map[syscall.Signal]string{syscall.SIGTERM: "TERM", syscall.SIGINT: "INT", syscall.SIGQUIT: "QUIT"}[ws.Signal()]
		return slices.Contains(sigs, name) && output == ""
	case ws.ExitStatus() == 2:
		return slices.Contains(sigs, "QUIT") && strings.HasPrefix(output, "SIGQUIT: quit\n") && !strings.Contains(output, "panic:")
	}
	return false
}

func (r soakResult) describe(l *lab) string {
	j := l.job(r.id)
	var b strings.Builder
	fmt.Fprintf(&b, "plan %+v\nexit %d, message %s\njob %s %s/%s/%s by %s\n", r.plan, r.code, r.message.Encode(), j.State, j.ExitStatus, j.Signal, j.SignalReason, j.AgentID)
	for _, e := range l.Ledger() {
		if e.JobID == r.id {
			fmt.Fprintf(&b, "  %s %s %s->%s %s withheld=%v %s\n", e.Time.Format("05.000"), e.Event, e.From, e.To, e.AgentID, e.Withheld, e.Detail)
		}
	}
	for _, q := range l.Requests() {
		if q.JobID == r.id || q.AgentID != "" && q.AgentID == r.message.Agent {
			fmt.Fprintf(&b, "  %s %s %d withheld=%v %s\n", q.Time.Format("05.000"), q.Endpoint, q.Status, q.Withheld, q.Query)
		}
	}
	return b.String() + r.output
}

// book is what the ledger has of one job.
type book struct {
	acquired, started, finished string // by which session
	withheld                    bool   // the reply to finish was
}

func (l *lab) soakBooks() map[string]book {
	books := map[string]book{}
	for _, e := range l.Ledger() {
		b := books[e.JobID]
		switch {
		case e.To == simulator.StateAccepted:
			b.acquired = e.AgentID
		case e.Event == "started":
			b.started = e.AgentID
		case e.Event == "finished":
			b.finished, b.withheld = e.AgentID, e.Withheld
		}
		books[e.JobID] = b
	}
	return books
}

// check returns how the exit code and the message disagree with the ledger.
func (r soakResult) check(l *lab, b book) string {
	if r.wrong != "" {
		return r.wrong
	}
	j, m := l.job(r.id), r.message
	if j.State.Held() {
		return fmt.Sprintf("the job is %s: it is not accounted for", j.State)
	}
	if b.acquired != "" && m.Agent != "" && b.acquired != m.Agent {
		return "another session acquired the job"
	}
	switch {
	case r.sent == "KILL" && r.code == 137:
		return "" // no exit code and no message that could be wrong
	case r.early && slices.ContainsFunc(l.Agents(), func(a simulator.Agent) bool { return a.Name == r.plan.name() }):
		return "it died of a signal, but it had registered before"
	case r.early:
		return ""
	}
	switch r.code {
	case contract.ExitOK:
		switch {
		case b.finished == "" || b.finished != m.Agent:
			return "exit 0, but Buildkite took no finish from this session"
		case m.ExitStatus == nil || strconv.Itoa(*m.ExitStatus) != j.ExitStatus:
			return fmt.Sprintf("the message says status %v, Buildkite has %s", m.ExitStatus, j.ExitStatus)
		case m.Signal != j.Signal || m.SignalReason != j.SignalReason:
			return fmt.Sprintf("the message says %s/%s, Buildkite has %s/%s", m.Signal, m.SignalReason, j.Signal, j.SignalReason)
		case b.started == "" && m.Outcome != contract.OutcomeCancelled: // before it began
			return "exit 0, but the job was never started"
		}
	case contract.ExitRejected, contract.ExitLocked, contract.ExitExhausted, contract.ExitRefused,
		contract.ExitTerminated, contract.ExitInterrupted, contract.ExitQuit:
		if b.started != "" {
			return fmt.Sprintf("exit %d, but the job was started", r.code)
		}
		if b.finished != "" {
			return fmt.Sprintf("exit %d, but the job was finished", r.code)
		}
		if m.Outcome == contract.OutcomeRejected && b.acquired != "" && b.acquired == m.Agent {
			return "rejected, but it had acquired the job: that is ambiguous at best"
		}
	case contract.ExitNotRun:
		switch {
		case b.acquired != m.Agent:
			return "exit 70, but it didn't acquire the job"
		case m.Outcome == contract.OutcomeUndelivered && b.finished != "" && !b.withheld:
			return "undelivered, but Buildkite took the finish and said so"
		case m.Outcome != contract.OutcomeUndelivered && b.finished != m.Agent:
			return fmt.Sprintf("exit 70 (%s), but Buildkite took no finish from this session", m.Outcome)
		}
	default:
		return fmt.Sprintf("exit %d means nothing", r.code)
	}
	// Whatever was acquired and not by a dead runner has an end that somebody
	// chose: its own result, or that of a session that said goodbye.
	if r.code != 0 || r.plan.kill != "" {
		return ""
	}
	if want := wantStatus(r.plan.command); j.ExitStatus != want {
		return fmt.Sprintf("the job ended with %s, its command ends with %s", j.ExitStatus, want)
	}
	switch lines := logLines(l.log(r.id)); {
	case j.ChunksFailedCount != 0 || m.LogChunksFailed != 0 || !j.LogComplete:
		return fmt.Sprintf("%d chunks of the log failed, the message says %d", j.ChunksFailedCount, m.LogChunksFailed)
	case r.plan.last != "" && !slices.Contains(lines, r.plan.last):
		return fmt.Sprintf("the log has no line %q: %q", r.plan.last, lines)
	}
	return ""
}

// stamp is what the agent puts before each line of a log.
var stamp = regexp.MustCompile("\x1b_bk;t=[0-9]+\a")

// logLines are the lines of a log as a person reads them.
func logLines(log string) []string {
	return strings.Split(strings.ReplaceAll(stamp.ReplaceAllString(log, ""), "\r", ""), "\n")
}

// wantStatus is the status that a planned command ends with.
func wantStatus(command string) string {
	return command[strings.LastIndexByte(command, ' ')+1:]
}

// TestSoakJudges: what the soak must not let pass.
func TestSoakJudges(t *testing.T) {
	const (
		quit = "SIGQUIT: quit\nPC=0x47dfe1 m=0 sigcode=0\n\ngoroutine 0 [idle]:\n"
		oops = "panic: oops\n\ngoroutine 1 [running]:\n"
	)
	exited := func(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }
	died := func(sig syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(sig) }
	for _, tt := range []struct {
		name   string
		sent   string
		ws     syscall.WaitStatus
		output string
		want   bool
	}{
		{"SIGTERM before the handlers", "TERM TERM", died(syscall.SIGTERM), "", true},
		{"SIGINT before the handlers", "INT TERM", died(syscall.SIGINT), "", true},
		{"SIGQUIT before Go's handlers", "QUIT", died(syscall.SIGQUIT), "", true},
		{"SIGQUIT before ours", "QUIT", exited(2), quit, true},
		{"a signal that nobody sent", "", died(syscall.SIGTERM), "", false},
		{"another signal than was sent", "TERM", died(syscall.SIGSEGV), "", false},
		{"SIGKILL", "KILL", died(syscall.SIGKILL), "", false},
		{"SIGKILL for onejob-run", "run KILL", died(syscall.SIGKILL), "", false},
		{"SIGTERM when it was at work", "TERM", died(syscall.SIGTERM), "registered\n", false},
		{"SIGQUIT when it was at work", "QUIT", exited(2), "registered\n" + quit, false},
		{"a panic", "", exited(2), oops, false},
		{"a panic after SIGTERM", "TERM", exited(2), oops, false},
		{"a panic after SIGQUIT", "QUIT", exited(2), oops, false},
		{"a panic while SIGQUIT is written", "QUIT", exited(2), quit + oops, false},
		{"exit 143 without a message", "TERM", exited(143), "", false},
	} {
		if got := diedEarly(tt.sent, tt.ws, tt.output); got != tt.want {
			t.Errorf("%s: excused: %v, want %v", tt.name, got, tt.want)
		}
	}

	l := newLab(t, simulator.Config{})
	rejected := soakResult{id: l.command("exit 0"), code: contract.ExitRejected, message: contract.Message{Outcome: contract.OutcomeRejected, Agent: "a"}}
	ambiguous := rejected
	ambiguous.message.Outcome = contract.OutcomeAmbiguous
	for _, tt := range []struct {
		name  string
		r     soakResult
		b     book
		wrong bool
	}{
		{"rejected", rejected, book{}, false},
		{"rejected, and acquired", rejected, book{acquired: "a"}, true},
		{"ambiguous, and acquired", ambiguous, book{acquired: "a"}, false},
		{"no message, and no excuse", soakResult{id: rejected.id, code: 2}, book{}, true},
	} {
		if got := tt.r.check(l, tt.b); (got != "") != tt.wrong {
			t.Errorf("%s: judged %q", tt.name, got)
		}
	}
}
