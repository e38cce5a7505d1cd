package runner_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// sequence is one kind of trouble, and what both agents make of it.
type sequence struct {
	name string
	conf simulator.Config
	tls  bool
	// command is the job's, "echo hello" if there is none; make, when set,
	// makes the job instead.
	command string
	make    func(l *lab) string
	faults  func() []simulator.Fault
	// flags are for both, oursFlags and stockFlags for one.
	flags, oursFlags, stockFlags []string
	real                         bool // take the stock bootstrap
	// act does what happens while the agent runs: signals, cancellation.
	act func(l *lab, p *process, id string)

	// exit, outcome, calls and job ("exit/signal/reason" as Buildkite has it,
	// "" if it has none) are ours. drop are endpoints that calls leaves out.
	exit    int
	outcome contract.Outcome
	calls   string
	drop    []string
	job     string
	check   func(l *lab, id string, m contract.Message)

	// stock is the exit code of the stock agent as it was recorded
	// (docs/protocol.md#stock-exit-codes), or unrecorded.
	stock int
	// stockAbandons: the stock agent always says goodbye while it has the job,
	// and has not tried to finish it. It may in other cases.
	stockAbandons bool
}

// unrecorded marks cases of which there is no record: the stock agent's exit
// code is shown, and not asserted.
const unrecorded = -1

// TestSequences runs both agents into each kind of trouble that was recorded.
func TestSequences(t *testing.T) {
	t.Parallel()
	var (
		mu   sync.Mutex
		rows = map[string][2]string{}
	)
	note := func(name string, column int, format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		row := rows[name]
		row[column] = fmt.Sprintf(format, a...)
		rows[name] = row
	}
	cases := sequences()
	t.Cleanup(func() {
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "case\tonejob-agent\tstock agent")
		for _, c := range cases {
			fmt.Fprintf(w, "%s\t%s\t%s\n", c.name, rows[c.name][0], rows[c.name][1])
		}
		w.Flush()
		t.Log("\n" + b.String())
	})
	for _, c := range cases {
		t.Run(c.name+"/ours", func(t *testing.T) {
			t.Parallel()
			l, id := c.lab(t)
			p := l.ours(id, c.with(l, c.oursFlags)...)
			if c.act != nil {
				c.act(l, p, id)
			}
			m := p.wantOutcome(c.outcome)
			p.wantExit(c.exit)
			note(c.name, 0, "%d %s%s", m.ExitCode, m.Outcome, l.ended(id))
			if got := l.calls(c.drop...); got != c.calls {
				t.Errorf("calls:\n got %s\nwant %s", got, c.calls)
			}
			if got := strings.TrimPrefix(l.ended(id), ", job "); got != c.job {
				t.Errorf("job ended with %q, want %q", got, c.job)
			}
			if n := l.Count("ping") + l.Count("stream_pings"); n > 0 {
				t.Errorf("it pinged %d times: there is nothing to ask for", n)
			}
			l.wantSettled(id)
			if c.check != nil {
				c.check(l, id, m)
			}
		})
		t.Run(c.name+"/stock", func(t *testing.T) {
			t.Parallel()
			l, id := c.lab(t)
			p := l.stock(id, c.with(l, c.stockFlags)...)
			if c.act != nil {
				c.act(l, p, id)
			}
			code := p.wait()
			if c.stock != unrecorded && code != c.stock {
				t.Errorf("the stock agent exited with %d, it was recorded with %d; calls: %s", code, c.stock, l.calls())
			}
			violations, abandoned := "", false
			for _, v := range l.CheckSettled() {
				violations += ", " + v.Kind
				abandoned = abandoned || v.Kind == simulator.Abandoned
			}
			if c.stockAbandons && !abandoned {
				t.Errorf("the stock agent didn't abandon the job: the ledger is wrong; calls: %s", l.calls())
			}
			if j := l.job(id); j.State.Held() {
				violations = fmt.Sprintf(", left %s", j.State)
			}
			note(c.name, 1, "%d%s%s", code, l.ended(id), violations)
		})
	}
}

// lab makes the simulator and the job of a case.
func (c sequence) lab(t *testing.T) (*lab, string) {
	t.Helper()
	start := (*httptest.Server).Start
	if c.tls {
		start = (*httptest.Server).StartTLS
	}
	l := serve(t, c.conf, start)
	if c.faults != nil {
		for _, f := range c.faults() {
			l.AddFault(f)
		}
	}
	if c.make != nil {
		return l, c.make(l)
	}
	command := c.command
	if command == "" {
		command = "echo hello"
	}
	return l, l.command(command)
}

func (c sequence) with(l *lab, flags []string) []string {
	all := append(append([]string{}, c.flags...), flags...)
	if c.real {
		all = append(all, l.real())
	}
	return all
}

// ended says how a job ended at Buildkite, if a runner ended it.
func (l *lab) ended(id string) string {
	j := l.job(id)
	if !j.State.Terminal() || j.ExitStatus == "" {
		return ""
	}
	return fmt.Sprintf(", job %s/%s/%s", j.ExitStatus, j.Signal, j.SignalReason)
}
