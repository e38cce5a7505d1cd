package launcher

import (
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

func TestNewBudget(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name           string
		grace          time.Duration
		cancel, signal int
		want           Budget
		err            string
	}{
		{"the agent's defaults", 0, 10, -1, Budget{Grace: 11 * s, Cancel: 10 * s, Signal: 9 * s}, ""},
		{"a pod's minute", 60 * s, 10, -1, Budget{Grace: 60 * s, Cancel: 10 * s, Signal: 9 * s}, ""},
		{"relative", 60 * s, 50, -10, Budget{Grace: 60 * s, Cancel: 50 * s, Signal: 40 * s}, ""},
		{"just enough", 3 * s, 2, 1, Budget{Grace: 3 * s, Cancel: 2 * s, Signal: 1 * s}, ""},
		{"no time to report", 0, 10, 10, Budget{}, "reporting"},
		{"no time to leave", 10 * s, 10, -1, Budget{}, "kubelet"},
		{"relative to less than nothing", 0, 5, -10, Budget{}, "signal grace"},
		{"both", 1 * s, 10, 20, Budget{}, "kubelet"},
		{"negative", 0, -5, -1, Budget{}, "out of range"},
		{"overflow", 0, 1 << 40, 5, Budget{}, "out of range"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := NewBudget(tt.grace, tt.cancel, tt.signal, false)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want one that says %q", err, tt.err)
				}
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("NewBudget = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

// TestBudgetAddsUp goes through every valid budget of whole seconds up to a
// minute, with several least times: nothing overlaps, everything ends before the
// kubelet's SIGKILL.
func TestBudgetAddsUp(t *testing.T) {
	valid := 0
	for grace := range 60 {
		for cancel := range 60 {
			for signal := -5; signal < 60; signal++ {
				for _, drain := range []bool{false, true} {
					b, err := NewBudget(time.Duration(grace)*time.Second, cancel, signal, drain)
					if err != nil {
						continue
					}
					valid++
					for _, b.Least = range []time.Duration{0, 3 * time.Second, 7 * time.Second, 10 * time.Second, time.Hour} {
						wantFits(t, b)
					}
				}
			}
		}
	}
	if valid < 10000 {
		t.Errorf("only %d valid budgets were looked at", valid)
	}
}

func wantFits(t *testing.T, b Budget) {
	t.Helper()
	short := !b.Drain && b.Least != 0 && b.Least < b.Grace
	end := b.Grace
	if short {
		end = b.Least
	}
	switch {
	case b.CancelAfter() < 0,
		b.KillBy() > b.CancelAfter()+b.Signal,
		!short && b.KillBy() != b.CancelAfter()+b.Signal,
		b.KillBy()+contract.GraceReport > b.DueBy(),
		b.Report() < contract.GraceReport, b.DueBy()-b.Report() < b.KillBy(),
		b.DueBy()+contract.GraceTail > end,
		b.DueBy() > b.ReportBy(),
		b.ReportBy() >= b.LeaveBy(),
		b.LeaveBy() >= b.Grace,
		b.Drain && b.CancelAfter()+b.Cancel != b.ReportBy(),
		!b.Drain && b.CancelAfter() != 0,
		b.Wire() <= 0, b.Wire() >= b.DueBy():
		t.Fatalf("%+v: cancel after %v, killed %v, due by %v, report by %v, leave by %v, wire %v", b, b.CancelAfter(), b.KillBy(), b.DueBy(), b.ReportBy(), b.LeaveBy(), b.Wire())
	}
}
