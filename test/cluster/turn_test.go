package cluster

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// Whoever holds the lock is as another process to a second open file.
func TestTestProcessesTakeTurns(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("the lock is root's")
	}
	if err := oneTestProcess(t.Context(), t.Logf); err != nil {
		t.Fatal(err)
	}
	if err := oneTestProcess(t.Context(), t.Logf); err != nil {
		t.Errorf("a second cluster in the process that has its turn: %v", err)
	}
	mine := turn.lock
	turn.lock = nil
	defer func() { turn.lock = mine }()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var told []string
	err := oneTestProcess(ctx, func(format string, _ ...any) { told = append(told, format) })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("out of turn: got %v, want to wait until the deadline", err)
	}
	if len(told) != 1 || !strings.Contains(told[0], "waiting") {
		t.Errorf("told %q, want one line that says what is waited for", told)
	}
}

func TestCheckSaysWhatToInstall(t *testing.T) {
	needs["no-such-program"] = "no-such-package"
	defer delete(needs, "no-such-program")
	err := Check(true)
	if !errors.Is(err, ErrUnsupported) {
		t.Fatalf("got %v, want ErrUnsupported", err)
	}
	if os.Geteuid() == 0 && (!strings.Contains(err.Error(), "no-such-program not found") || !strings.Contains(err.Error(), "apt-get install") || !strings.Contains(err.Error(), " containerd ")) {
		t.Errorf("got %q, want what is missing and the command that installs it", err)
	}
	for what, name := range needs {
		if name != "no-such-package" && !strings.Contains(packages, name+"\n") {
			t.Errorf("%s is of %s, which packages.txt lacks", what, name)
		}
	}
}
