package simulator_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// A clock that is set forward ends a reservation, one that is set back prolongs it. All times
// that the Simulator sends follow the clock.
func TestJumpClock(t *testing.T) {
	tests := []struct {
		name string
		jump time.Duration
		wait time.Duration // until the reservation of 60 s must have ended
	}{
		{"no jump", 0, 60 * time.Second},
		{"forward", 20 * time.Second, 40 * time.Second},
		{"forward, beyond its end", time.Hour, 0},
		{"back", -90 * time.Second, 150 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{}, func(w *wire) {
				build, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: x}]")})
				if err != nil {
					t.Fatal(err)
				}
				const token = simulator.DefaultAgentToken
				w.call("POST", "stacks/register", token, `{"key":"s","type":"custom","queue_key":"default","metadata":{}}`, 201)
				id := build.JobIDs[0]
				w.call("PUT", "stacks/s/scheduled-jobs/batch-reserve", token, `{"job_uuids":["`+id+`"],"reservation_expiry_seconds":60}`, 200)
				if got := w.sim.JumpClock(tt.jump); got != tt.jump {
					t.Errorf("the clock is off by %s, want %s", got, tt.jump)
				}
				w.call("POST", "stacks/s/notifications", token, `{"notifications":[{"job_uuid":"`+id+`","detail":"x"}]}`, 200)
				if j, _ := w.sim.Job(id); len(j.Notifications) != 1 {
					t.Error("a notification without a time was not taken")
				}
				state := func() simulator.JobState {
					time.Sleep(time.Millisecond)
					j, _ := w.sim.Job(id)
					return j.State
				}
				if tt.wait > 0 {
					time.Sleep(tt.wait - 5*time.Millisecond)
					if got := state(); got != simulator.StateReserved {
						t.Errorf("before %s it is %s, want reserved", tt.wait, got)
					}
				}
				time.Sleep(10 * time.Millisecond)
				if got := state(); got != simulator.StateScheduled {
					t.Errorf("after %s it is %s, want scheduled", tt.wait, got)
				}
				last := w.sim.Ledger()[len(w.sim.Ledger())-1]
				if got := time.Until(last.Time).Round(time.Second); got != tt.jump {
					t.Errorf("the ledger is %s ahead, want %s", got, tt.jump)
				}
				resp, err := w.client.Get("http://sim/v3/token")
				if err != nil {
					t.Fatal(err)
				}
				date, err := http.ParseTime(resp.Header.Get("Date"))
				if tt.jump == 0 {
					return // net/http's own, which an in-process Transport lacks
				}
				if got := time.Until(date).Round(10 * time.Second); err != nil || got != tt.jump {
					t.Errorf("Date is %s ahead (%v), want %s", got, err, tt.jump)
				}
			})
		})
	}
}
