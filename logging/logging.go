// Package logging makes the slog.Logger that every onejob program writes to
// standard error: JSON, or text on a terminal.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"golang.org/x/term"

	"github.com/onejob-dev/onejob/contract"
)

// Options are how a log looks.
type Options struct {
	// Format is "json" or "text"; "" is text on a terminal, JSON elsewhere.
	Format string
	// Level is one of debug, info, notice, warn, error, fatal; "" is info.
	Level string
	// NoColor leaves colours out of text. The variable NO_COLOR does too.
	NoColor bool
}

// Check says what New would take for something else.
func (o Options) Check() error {
	if !slices.Contains([]string{"", "json", "text"}, o.Format) {
		return fmt.Errorf("log-format is %q, want json or text", o.Format)
	}
	if levels := []string{"", "debug", "info", "notice", "warn", "error", "fatal"}; !slices.Contains(levels, strings.ToLower(o.Level)) {
		return fmt.Errorf("log-level is %q, want one of %s", o.Level, strings.Join(levels[1:], ", "))
	}
	return nil
}

// New returns a logger that writes to w as o says.
func New(w io.Writer, o Options) *slog.Logger {
	level := Level(o.Level)
	terminal := false
	if f, ok := w.(*os.File); ok {
		terminal = Terminal(f)
	}
	if o.Format == "json" || o.Format == "" && !terminal {
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: durations}))
	}
	return slog.New(text(w, level, terminal && !o.NoColor && os.Getenv("NO_COLOR") == ""))
}

func text(w io.Writer, level slog.Level, color bool) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: time.TimeOnly, ReplaceAttr: printable, NoColor: !color})
}

// printable makes of texts and errors what a terminal shows as it is: with colours on,
// the handler would hand an escape sequence in them through.
func printable(_ []string, a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(contract.Line(v.String(), maxText))
	case slog.KindAny:
		if _, level := v.Any().(slog.Level); !level {
			a.Value = slog.StringValue(contract.Line(fmt.Sprint(v.Any()), maxText))
		}
	}
	return a
}

// maxText is the most of one text that is shown.
const maxText = 16 << 10

// durations writes a duration as "1.5s", not as nanoseconds.
func durations(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// Level reads a level's name; what it doesn't know is info.
func Level(name string) slog.Level {
	switch strings.ToLower(name) {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error", "fatal":
		return slog.LevelError
	}
	return slog.LevelInfo
}

// Terminal reports whether f is a terminal.
func Terminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }
