package runner_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/simulator"
)

// number reads an integer from the environment.
func number(t *testing.T, name string, def int) int {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return def
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		t.Fatalf("%s is %q: want a number", name, s)
	}
	return n
}

// soakPlan is what one of the many jobs does, and what is done to it.
type soakPlan struct {
	n       int
	command string
	last    string // the last line that the command prints, "" if it prints none
	flags   []string
	real    bool
	// kill is the signal for the runner or, if it begins with "run ", for
	// onejob-run; "cancel" cancels the job at Buildkite.
	kill  string
	after time.Duration
}

// planSoak draws job n's plan. It depends on nothing but the seed and n.
func planSoak(seed uint64, n int) soakPlan {
	rnd := rand.New(rand.NewPCG(seed, uint64(n)))
	status := []int{0, 0, 0, 1, 3, 42, 255}[rnd.IntN(7)]
	p := soakPlan{n: n, real: rnd.IntN(20) == 0}
	switch rnd.IntN(4) {
	case 0:
		p.command = fmt.Sprintf("exit %d", status)
	case 1:
		p.command = fmt.Sprintf("echo job %d; exit %d", n, status)
		p.last = fmt.Sprintf("job %d", n)
	case 2:
		p.command = fmt.Sprintf("i=0; while [ $i -lt 200 ]; do echo line $i of %d; i=$((i+1)); done; sleep 0.%d; exit %d", n, rnd.IntN(9), status)
		p.last = fmt.Sprintf("line 199 of %d", n)
	default:
		p.command = fmt.Sprintf("echo slow %d; sleep 1.%d; echo done; exit %d", n, rnd.IntN(9), status)
		p.last = "done"
	}
	p.flags = append(slices.Clone(quick), "--name="+p.name(), "--cancel-grace-period=5", "--signal-grace-period-seconds=1")
	if rnd.IntN(3) == 0 {
		p.flags = append(p.flags, "--on-term=drain", "--termination-grace-seconds=9")
	}
	if rnd.IntN(10) < 3 {
		kinds := []string{"TERM", "TERM", "INT", "TERM TERM", "INT TERM", "QUIT", "KILL", "run KILL", "cancel", "cancel"}
		p.kill = kinds[rnd.IntN(len(kinds))]
		p.after = time.Duration(rnd.IntN(2500)) * time.Millisecond
	}
	return p
}

// name is the name of the runner's session.
func (p soakPlan) name() string { return "soak-" + strconv.Itoa(p.n) }

// soakFaults puts trouble on every call of a runner.
func soakFaults(l *lab) {
	for _, endpoint := range []string{"register", "connect", "heartbeat", "acquire", "start", "chunks", "job_state", "finish", "stop", "disconnect"} {
		for _, f := range []simulator.Fault{
			{Probability: 0.02, Status: 500},
			{Probability: 0.01, Status: 502, Body: "<html>bad gateway</html>"},
			{Probability: 0.01, Status: 503, Header: map[string]string{"Retry-After": "1"}},
			{Probability: 0.01, Status: 429, Header: map[string]string{"Retry-After": "1"}},
			{Probability: 0.01, Status: 429},
			{Probability: 0.02, Reset: "before"},
			{Probability: 0.02, Reset: "after"},
			{Probability: 0.01, Garbage: "before"},
			{Probability: 0.01, Garbage: "after"},
			{Probability: 0.01, Truncate: true},
			{Probability: 0.02, Delay: 300 * time.Millisecond},
		} {
			f.Endpoint = endpoint
			l.AddFault(f)
		}
	}
}

// sleepers are the cases in which the stock agent waits for minutes.
const sleepers = 5

// TestSoak takes a thousand jobs through random faults and signals. The ledger
// must have no violation, each job must be accounted for, and each exit code
// must be what the ledger says happened.
//
// It keeps the machine busy. So it begins when the tests that look at times are
// over, and only those are left that sleep.
func TestSoak(t *testing.T) {
	t.Parallel()
	for quiet := 0; quiet < 30; quiet++ {
		if open.Load() > sleepers {
			quiet = 0
		}
		time.Sleep(100 * time.Millisecond)
	}
	def := 1000
	if testing.Short() {
		def = 100
	}
	jobs := number(t, "ONEJOB_JOBS", def)
	seed := uint64(number(t, "ONEJOB_SEED", int(time.Now().Unix())))
	t.Logf("ONEJOB_SEED=%d ONEJOB_JOBS=%d", seed, jobs)

	// The opposite of what the other tests have; the intervals are those of a test.
	l := newLab(t, simulator.Config{Seed: seed, RequestLog: 1 << 20, Profile: assumptions.Shipped().Opposite(), HeartbeatInterval: 1, JobStatusInterval: 1})
	soakFaults(l)
	results := make(soakResults, jobs)
	began := time.Now()
	var wg sync.WaitGroup
	todo := make(chan int)
	for range number(t, "ONEJOB_AT_ONCE", 24) {
		wg.Go(func() {
			for n := range todo {
				results[n] = l.soak(planSoak(seed, n))
			}
		})
	}
	for n := range jobs {
		todo <- n
	}
	close(todo)
	wg.Wait()
	t.Logf("%d jobs in %v", jobs, time.Since(began).Round(time.Second))
	l.ClearFaults()

	// Whoever was killed says nothing more: Buildkite notices, and so do we.
	for _, a := range l.Agents() {
		if err := l.LoseAgent(a.ID); err != nil {
			t.Error(err)
		}
	}
	for _, v := range l.CheckSettled() {
		t.Errorf("violation: %s\n%s", v, results.of(v.JobID).describe(l))
	}
	books := l.soakBooks()
	outcomes := map[string]int{}
	for _, r := range results {
		outcomes[fmt.Sprintf("%d %s", r.code, r.message.Outcome)]++
		if wrong := r.check(l, books[r.id]); wrong != "" {
			t.Errorf("%s\n%s", wrong, r.describe(l))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%5d × %s", outcomes[k], k)
	}
	slices.SortFunc(results, func(a, b soakResult) int { return cmp.Compare(b.took, a.took) })
	for _, r := range results[:min(3, jobs)] {
		t.Logf("took %v: exit %d, %+v, tries %v", r.took.Round(time.Millisecond), r.code, r.plan, r.message.Tries)
	}
	repeats, provoked := l.Repeats()
	t.Logf("%d repeats, %d of them after a lost reply; %d requests", repeats, provoked, len(l.Requests()))
}

// soak runs one job to the end of its runner and of all that it left behind.
func (l *lab) soak(plan soakPlan) (r soakResult) {
	r = soakResult{plan: plan, id: l.command(plan.command)}
	began := time.Now()
	defer func() { r.took = time.Since(began) }()
	flags := plan.flags
	if plan.real {
		flags = append(flags, l.real(), "--skip-checkout")
	}
	cmd := l.oursCommand(r.id, flags...)
	p, err := launch(cmd)
	if err != nil {
		r.wrong = err.Error()
		return r
	}
	p.l = l
	switch {
	case plan.kill == "":
	case !p.doneWithin(plan.after):
		r.sent = l.soakKill(p, r.id, plan.kill)
	}
	if !p.doneWithin(patience) {
		p.cmd.Process.Signal(syscall.SIGABRT)
		p.doneWithin(5 * time.Second)
		p.cmd.Process.Kill()
		r.wrong = "it hung"
	}
	r.code = p.code()
	r.output = p.output()
	r.read(p)
	// Killed from outside, it leaves a child that cleans up.
	for end := time.Now().Add(patience); len(pids(p.dir)) > 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			r.wrong = fmt.Sprintf("it left processes behind: %v", pids(p.dir))
			break
		}
	}
	os.RemoveAll(p.dir)
	return r
}

// soakKill does what the plan has in store, and returns that, or "" if there was
// nobody to do it to.
func (l *lab) soakKill(p *process, id, kill string) string {
	if kill == "cancel" {
		l.CancelJob(id) // it may be over
		return kill
	}
	target := p.cmd.Process.Pid
	names, child := strings.CutPrefix(kill, "run ")
	if child {
		list := p.named("onejob-run")
		if len(list) == 0 {
			return ""
		}
		target = list[0]
	}
	for i, name := range strings.Fields(names) {
		if i > 0 {
			time.Sleep(200 * time.Millisecond)
		}
		sig := map[string]syscall.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL}[name]
		syscall.Kill(target, sig) // it may be gone
	}
	return kill
}
