package logging

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// bad clears a screen and sets a clipboard.
const bad = "x\x1b[2J\x1b]52;c;Y3VybA==\a\u009b31m\u202ey\r\nz"

// What somebody else wrote is never a terminal's command, with colours on or off.
func TestForeignWordsOnATerminal(t *testing.T) {
	for _, color := range []bool{true, false} {
		var b strings.Builder
		log := slog.New(text(&b, slog.LevelInfo, color)).With("with", bad)
		log.Info("said: "+bad, "err", errors.New(bad), "text", bad, "group", slog.GroupValue(slog.String("in", bad)), "list", []string{bad}, "n", 1)
		got := b.String()
		for _, ours := range []string{"\x1b[2m", "\x1b[0m", "\x1b[22m", "\x1b[92m", "\x1b[2;91m", "\x1b[22;91m"} {
			got = strings.ReplaceAll(got, ours, "")
		}
		if strings.ContainsAny(got, "\x1b\a\r\u009b\u202e") || strings.Count(got, "\n") != 1 || strings.Count(got, "Y3VybA==") != 6 {
			t.Errorf("colour %t: %q", color, got)
		}
	}
}
