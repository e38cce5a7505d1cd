package launcher

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/signals"
)

// What was wrong before there was a job: with the keys it would be so in any
// pod, with the rest of the pod it may be well in the next.
func TestNotReady(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, preflight string
		outcome         contract.Outcome
		exit            int
		says            string
	}{
		{"no tags", `echo '{"Err":"reading tags: no route to host"}'`, contract.OutcomeUnready, 75, "reading tags: no route to host"},
		{"the child is killed", `kill -9 $$`, contract.OutcomeUnready, 75, "signal: killed"},
		{"no answer", `echo nonsense`, contract.OutcomeUnready, 75, "reading its answer"},
		{"bad keys", `echo '{"Keys":"verification-jwks-file: no such file"}'`, contract.OutcomeConfig, 78, "unusable keys: verification-jwks-file: no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, "runner", tt.preflight)
			w := signals.Watch(t.Context())
			defer w.Close()
			m := Run(w, Config{
				JobID: job, Runner: filepath.Join(dir, "runner"), Options: Options{TagsFromHost: true}, Environ: os.Environ(),
				Log: slog.New(slog.DiscardHandler),
			})
			if m.Outcome != tt.outcome || m.ExitCode != tt.exit || !strings.Contains(m.Reason, tt.says) {
				t.Errorf("message %+v, want %s, %d, %q", m, tt.outcome, tt.exit, tt.says)
			}
		})
	}
}
