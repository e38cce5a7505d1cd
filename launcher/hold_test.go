package launcher

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

func TestHoldFor(t *testing.T) {
	file := filepath.Join(t.TempDir(), "for")
	hold := func(most, asked time.Duration) Hold { return Hold{Most: most, Asked: asked, File: file} }
	for _, tt := range []struct {
		name, exit, reason, file string
		hold                     Hold
		want                     time.Duration
	}{
		{"a failure", "1", "", "", hold(time.Hour, time.Minute), time.Minute},
		{"the queue allows less", "1", "", "", hold(time.Second, time.Minute), time.Second},
		{"the queue allows nothing", "1", "", "1h", hold(0, time.Minute), 0},
		{"it passed", "0", "", "", hold(time.Hour, time.Minute), 0},
		{"it was cancelled", "-1", "cancel", "", hold(time.Hour, time.Minute), 0},
		{"nobody asked", "1", "", "", hold(time.Hour, 0), 0},
		{"somebody asked, and it passed", "0", "", "10m", hold(time.Hour, 0), 10 * time.Minute},
		{"somebody asked, and it was cancelled", "-1", "cancel", "10m", hold(time.Hour, time.Minute), 0},
		{"somebody asked, and it couldn't run", "-1", "process_run_error", "10m", hold(time.Hour, 0), 10 * time.Minute},
		{"somebody asked for too much", "0", "", "1000h", hold(time.Hour, 0), time.Hour},
		{"released", "1", "", "0s", hold(time.Hour, time.Minute), 0},
		{"less than nothing", "1", "", "-5m", hold(time.Hour, time.Minute), 0},
		{"no duration", "1", "", "soon", hold(time.Hour, time.Minute), time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte(tt.file), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := tt.hold.For(tt.exit, tt.reason); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHoldOfAStep(t *testing.T) {
	for text, says := range map[string]string{"": "", "30m": "", "soon": "no duration such as 30m", "-5m": "no duration"} {
		h, warning := Hold{Most: time.Hour}.of(map[string]string{envHold: text})
		if (warning == "") != (says == "") || !strings.Contains(warning, says) || (h.Asked > 0) != (text == "30m") {
			t.Errorf("%q: %+v, %q", text, h, warning)
		}
	}
	if _, warning := (Hold{}).of(map[string]string{envHold: "30m"}); !strings.Contains(warning, "this queue's setting hold allows no time") {
		t.Errorf("%q", warning)
	}
}

// The container stays when the result is reported and the session is over, until it is
// released, its time is over or a signal comes. The message tells of the job alone.
func TestContainerStays(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(file string, deliver func(os.Signal)){
		"released":  func(file string, _ func(os.Signal)) { os.WriteFile(file, []byte("0s"), 0o600) },
		"signalled": func(_ string, deliver func(os.Signal)) { deliver(syscall.SIGTERM) },
		"over":      nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			budget, err := NewBudget(0, 10, -1, false)
			if err != nil {
				t.Fatal(err)
			}
			file, most := filepath.Join(dir, "for"), time.Hour
			if ends == nil {
				most = 1500 * time.Millisecond
			}
			if err := os.WriteFile(file, []byte("1h"), 0o600); err != nil {
				t.Fatal(err)
			}
			b, known, forgotten := new(buildkite), make(chan contract.Message, 1), make(chan bool, 1)
			w, done := b.attempt(t, dir, `
				read handover
				echo '{"Start":{"Sent":true,"Delivered":true},"Ran":true,"Finish":{"Sent":true,"Delivered":true},"ExitStatus":"3","Final":true}' >&3`, budget,
				func(c *Config) {
					c.Hold = Hold{Most: most, File: file}
					c.Forget = func() error { forgotten <- b.had("disconnect"); return nil }
					c.Known = func(m contract.Message) { known <- m }
				})
			early := <-known
			for end := time.Now().Add(30 * time.Second); !b.had("disconnect") && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			if !b.had("disconnect") {
				t.Error("the session isn't over")
			}
			if ends != nil {
				select {
				case <-done:
					t.Fatal("it didn't stay")
				case <-time.After(1200 * time.Millisecond):
				}
				ends(file, w.Deliver)
			}
			m := result(t, done)
			if m.Held < 1 || m.Outcome != contract.OutcomeFinished || *m.ExitStatus != 3 || m.ExitCode != 0 || m.Received != "" {
				t.Errorf("%+v", m)
			}
			if len(forgotten) != 1 || !<-forgotten {
				t.Error("the job's credentials weren't taken out once, when the session was over")
			}
			if early.Outcome != contract.OutcomeFinished || early.Held != 0 {
				t.Errorf("before that: %+v", early)
			}
		})
	}
}
