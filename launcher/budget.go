package launcher

import (
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Budget is how the time between SIGTERM and SIGKILL is spent. The kubelet
// sends one SIGTERM, waits the pod's grace and sends SIGKILL, so everything has
// to fit into Grace:
//
//	SIGTERM       cancel signal            SIGKILL to the job              SIGKILL
//	   │  drain only   │     signal grace          │   report   │   tail   │
//	   ├───────────────┼───────────────────────────┼────────────┼──────────┤
//	   0           CancelAfter                   KillBy     ReportBy    Grace
//
// With drain, the job runs on after SIGTERM until only Cancel (signal grace and report)
// and the tail are left. Without drain, CancelAfter is 0, and the report has all the
// time that the signal grace leaves.
//
// A pod may be deleted with less than its grace, and isn't told. So, unless it drains,
// the job is killed early enough for its report to arrive (DueBy) within Least. A
// report that fails until then is retried until ReportBy.
type Budget struct {
	// Grace is the time from SIGTERM to SIGKILL: the pod's
	// terminationGracePeriodSeconds.
	Grace time.Duration
	// Least is the part of Grace that the pod has in any case; 0 means all of it.
	Least time.Duration
	// Cancel is the time from a cancellation to the end of the report: the
	// agent's cancel-grace-period.
	Cancel time.Duration
	// Signal is the time from the cancel signal to SIGKILL for the job: the
	// agent's signal-grace-period-seconds.
	Signal time.Duration
	// Drain lets the job run on at SIGTERM.
	Drain bool
}

// NewBudget reads the agent's two settings (a negative signal grace counts back
// from the cancel grace, as in the agent) and the pod's grace, of which 0 means
// just what the cancel grace needs.
func NewBudget(grace time.Duration, cancelSeconds, signalSeconds int, drain bool) (Budget, error) {
	const most = 1 << 30 // far from overflowing a Duration
	if cancelSeconds < 0 || cancelSeconds > most || signalSeconds > most || signalSeconds < -most || grace < 0 {
		return Budget{}, fmt.Errorf("a grace period is out of range: termination grace %v, cancel grace %d s, signal grace %d s", grace, cancelSeconds, signalSeconds)
	}
	if signalSeconds < 0 {
		signalSeconds += cancelSeconds
	}
	b := Budget{
		Grace:  grace,
		Cancel: time.Duration(cancelSeconds) * time.Second,
		Signal: time.Duration(signalSeconds) * time.Second,
		Drain:  drain,
	}
	if grace == 0 {
		b.Grace = b.Cancel + contract.GraceTail
	}
	return b, contract.CheckGrace(b.Grace, b.Cancel, b.Signal)
}

// CancelAfter is how long after SIGTERM a running job is cancelled.
func (b Budget) CancelAfter() time.Duration {
	if b.Drain {
		return b.Grace - b.Cancel - contract.GraceTail
	}
	return 0
}

// short reports whether the budget is planned for less than Grace.
func (b Budget) short() bool { return !b.Drain && b.Least > 0 && b.Least < b.Grace }

// KillBy is how long after SIGTERM the job is killed, if it hasn't ended. If the time
// is short, a third of it is for the report, because a node that stops is busy.
func (b Budget) KillBy() time.Duration {
	kill := b.CancelAfter() + b.Signal
	if !b.short() {
		return kill
	}
	return min(kill, b.DueBy()-min(max(b.DueBy()/3, contract.GraceReport), 10*time.Second))
}

// KillsEarly says that KillBy comes before the signal grace is over.
func (b Budget) KillsEarly() bool { return b.KillBy() < b.CancelAfter()+b.Signal }

// Report is the time for the report in which its parts have their shares.
func (b Budget) Report() time.Duration {
	if b.short() {
		return min(b.Cancel-b.Signal, b.DueBy()-b.KillBy())
	}
	return b.Cancel - b.Signal
}

// DueBy is how long after SIGTERM the result should have been reported.
func (b Budget) DueBy() time.Duration {
	if b.short() {
		return b.Least - contract.GraceTail
	}
	return b.ReportBy()
}

// ReportBy is how long after SIGTERM nobody tries to report the result any more.
func (b Budget) ReportBy() time.Duration { return b.Grace - contract.GraceTail }

// LeaveBy is how long after SIGTERM the session must have been left.
func (b Budget) LeaveBy() time.Duration { return b.Grace - contract.GraceTail/2 }

// Wire is how long after SIGTERM the runner waits for a request that may have been
// granted. It is half of the time, so that a job that was granted can still be
// finished.
func (b Budget) Wire() time.Duration { return b.DueBy() / 2 }
