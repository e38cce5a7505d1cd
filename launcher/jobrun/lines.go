package jobrun

import (
	"strings"
	"sync"
	"time"

	"github.com/buildkite/agent/v3/logger"
)

// lastLines is a logger that holds JobRunner up when the job's process has ended,
// until all of its lines are split. Without ANSI timestamps JobRunner splits them
// on the side, and sends off the end of the log without waiting for that: with
// --timestamp-lines the last 4 KiB may be lost. What it logs is all that is
// seen of it from outside.
type lastLines struct {
	logger.Logger
	split func()
	wait  func()
}

// What the agent logs when all is split, and when the process has ended, in its
// goroutine and before the log's end is sent.
const (
	linesSplit   = "[LineScanner] Finished"
	processEnded = "Process with PID: %d finished"
)

// linesWait guards against a version of the agent that logs something else.
const linesWait = 5 * time.Second

func newLastLines(l logger.Logger) lastLines {
	done := make(chan struct{})
	return lastLines{
		Logger: l,
		split:  sync.OnceFunc(func() { close(done) }),
		wait: func() {
			select {
			case <-done:
			case <-time.After(linesWait):
			}
		},
	}
}

func (l lastLines) Debugf(format string, v ...any) {
	l.Logger.Debugf(format, v...)
	if format == linesSplit {
		l.split()
	}
}

func (l lastLines) Infof(format string, v ...any) {
	l.Logger.Infof(format, v...)
	if strings.HasPrefix(format, processEnded) {
		l.wait()
	}
}

func (l lastLines) WithFields(fields ...logger.Field) logger.Logger {
	l.Logger = l.Logger.WithFields(fields...)
	return l
}
