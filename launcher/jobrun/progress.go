package jobrun

import (
	"strings"
	"sync"
	"time"

	"github.com/buildkite/agent/v3/logger"
)

// progress is JobRunner's logger. It sees from the log messages how far JobRunner is,
// because nothing else shows that.
type progress struct {
	logger.Logger
	*stages
}

// stages are shared by a progress and the loggers derived from it.
type stages struct {
	// begun is closed when the job's process was started and can be cancelled.
	begun     chan struct{}
	markBegun func()
	// split is closed when all lines of the log are split.
	split     chan struct{}
	markSplit func()
	// splits: there are lines to split, and the process's end waits for that. Without
	// ANSI timestamps JobRunner splits them in another goroutine and sends the end of
	// the log without waiting, so that with --timestamp-lines the last 4 KiB may be
	// lost.
	splits bool
}

// Messages of the agent. The first and the last are logged in the goroutine that runs
// the process, which waits while we handle them.
const (
	processBegun = "[Process] Process is running with PID: %d"
	linesSplit   = "[LineScanner] Finished"
	processEnded = "Process with PID: %d finished"
)

// splitWait is for a version of the agent that logs other messages.
const splitWait = 5 * time.Second

// newProgress returns a progress that calls began once the process was started.
func newProgress(l logger.Logger, splits bool, began func()) progress {
	s := &stages{begun: make(chan struct{}), split: make(chan struct{}), splits: splits}
	s.markBegun = sync.OnceFunc(func() {
		began()
		close(s.begun)
	})
	s.markSplit = sync.OnceFunc(func() { close(s.split) })
	return progress{l, s}
}

func (p progress) Debugf(format string, v ...any) {
	p.Logger.Debugf(format, v...)
	if format == linesSplit {
		p.markSplit()
	}
}

func (p progress) Infof(format string, v ...any) {
	p.Logger.Infof(format, v...)
	switch {
	case format == processBegun:
		p.markBegun()
	case p.splits && strings.HasPrefix(format, processEnded):
		select {
		case <-p.split:
		case <-time.After(splitWait):
		}
	}
}

func (p progress) WithFields(fields ...logger.Field) logger.Logger {
	p.Logger = p.Logger.WithFields(fields...)
	return p
}
