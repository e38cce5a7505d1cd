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
// With drain, the job runs on at SIGTERM as long as what is left is just Cancel
// (signal grace and report) and the tail. Without, CancelAfter is 0, and the report
// has all that the signal grace leaves.
//
// A pod may be deleted with less than its grace, and nothing in it says so. So,
// unless it drains, the job is killed in time for its report to be there (DueBy) by
// the end of Least. What fails until then is tried on until ReportBy.
type Budget struct {
	// Grace is the time from SIGTERM to SIGKILL: the pod's
	// terminationGracePeriodSeconds.
	Grace time.Duration
	// Least is what there is of it at the least; 0: all.
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

// short says that less than Grace is reckoned with.
func (b Budget) short() bool { return !b.Drain && b.Least > 0 && b.Least < b.Grace }

// KillBy is how long after SIGTERM the job is killed, if it hasn't ended. Of a short
// time a third is for the report: a node that stops is a busy one.
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

// Wire is how long after SIGTERM a request that may have been granted is waited
// for: half of what there is, so that a job that it granted can still be
// finished.
func (b Budget) Wire() time.Duration { return b.DueBy() / 2 }
