package launcher

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
)

// The message of a job that the runner stopped because Buildkite refused the job's token says
// so, whether or not its result was taken. What is inferred of a token that was refused
// before counts for nothing, and a job that ended by itself has nothing to explain.
func TestTokenRefusedIsTold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, reason, finish string
		refused              bool
		want                 contract.Outcome
		says                 []string
		silent               bool
	}{
		{"delivered", "cancel", `"Delivered":true`, true, contract.OutcomeFinished, []string{"the job ended with exit status -1; ", EndedWhileItRan}, false},
		{"delivered after a signal", "agent_stop", `"Delivered":true`, true, contract.OutcomeFinished, []string{EndedWhileItRan}, false},
		{"not delivered", "cancel", `"Err":"401"`, true, contract.OutcomeUndelivered, []string{"couldn't be reported: 401; ", EndedWhileItRan}, false},
		{"delivered as its token tells", "cancel", `"Delivered":true,"Inferred":true,"ByToken":true`, true, contract.OutcomeUndelivered, []string{"refuses the job's token, as it did before", EndedWhileItRan}, false},
		{"delivered as its state tells", "cancel", `"Delivered":true,"Inferred":true`, true, contract.OutcomeFinished, []string{EndedWhileItRan}, false},
		{"a job that ended by itself", "", `"Delivered":true`, true, contract.OutcomeFinished, nil, true},
		{"a job that was cancelled", "cancel", `"Delivered":true`, false, contract.OutcomeFinished, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			budget, err := NewBudget(0, 10, -1, false)
			if err != nil {
				t.Fatal(err)
			}
			b := new(buildkite)
			b.alive.Store(true)
			_, done := b.attempt(t, t.TempDir(), fmt.Sprintf(`
				read handover
				echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"TokenRefused":%t,"ExitStatus":"-1","SignalReason":%q,"Finish":{"Sent":true,%s},"Final":true}' >&3`,
				tt.refused, tt.reason, tt.finish), budget)
			m := result(t, done)
			if m.Outcome != tt.want || tt.silent && strings.Contains(m.Reason, ";") {
				t.Errorf("message %+v, want %s", m, tt.want)
			}
			for _, want := range tt.says {
				if !strings.Contains(m.Reason, want) {
					t.Errorf("it doesn't say %q: %s", want, m.Reason)
				}
			}
		})
	}
}
