package acquire

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"regexp"

	"github.com/buildkite/agent/v3/logger"
)

// Logger returns l as the agent library's own kind of logger. What the library
// says goes out with source=agent, so that the messages stay constant where
// they are ours.
func Logger(l *slog.Logger) logger.Logger { return agentLogger{l.With("source", "agent")} }

type agentLogger struct{ l *slog.Logger }

// tokens are the fields of Buildkite's replies that hold a token. The library
// logs whole replies with --debug-http.
var tokens = regexp.MustCompile(`("(?:access_)?token"\s*:\s*)"[^"]*"`)

func (a agentLogger) log(level slog.Level, format string, v []any) {
	if a.l.Enabled(context.Background(), level) {
		a.l.Log(context.Background(), level, tokens.ReplaceAllString(fmt.Sprintf(format, v...), `$1"[left out]"`))
	}
}

func (a agentLogger) Debugf(format string, v ...any)  { a.log(slog.LevelDebug, format, v) }
func (a agentLogger) Infof(format string, v ...any)   { a.log(slog.LevelInfo, format, v) }
func (a agentLogger) Noticef(format string, v ...any) { a.log(slog.LevelInfo, format, v) }
func (a agentLogger) Warnf(format string, v ...any)   { a.log(slog.LevelWarn, format, v) }
func (a agentLogger) Errorf(format string, v ...any)  { a.log(slog.LevelError, format, v) }

// Fatalf ends the process, as the interface demands.
func (a agentLogger) Fatalf(format string, v ...any) {
	a.log(slog.LevelError, format, v)
	os.Exit(1)
}

func (a agentLogger) WithFields(fields ...logger.Field) logger.Logger {
	l := a.l
	for _, f := range fields {
		l = l.With(f.Key(), f.String())
	}
	return agentLogger{l}
}

// SetLevel does nothing: the level is the slog handler's.
func (a agentLogger) SetLevel(logger.Level) {}

func (a agentLogger) Level() logger.Level {
	for _, lv := range []struct {
		s slog.Level
		a logger.Level
	}{{slog.LevelDebug, logger.DEBUG}, {slog.LevelInfo, logger.INFO}, {slog.LevelWarn, logger.WARN}} {
		if a.l.Enabled(context.Background(), lv.s) {
			return lv.a
		}
	}
	return logger.ERROR
}
