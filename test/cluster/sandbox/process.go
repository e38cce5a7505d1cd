package sandbox

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Process is one program that the owner started in the sandbox.
type Process struct {
	Name string
	Log  string // path of the file with its output

	sandbox *Sandbox
	pid     int
	done    chan struct{}
	status  int // valid when done is closed
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait returns the exit status, 128 + the signal's number for a signal. Its
// error is the context's cause.
func (p *Process) Wait(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.status, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Signal sends sig. A process that has ended is no error.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if _, err := p.sandbox.call(request{Signal: int(sig), Pid: p.pid}); err != nil {
		select {
		case <-p.done:
			return nil
		default:
			return fmt.Errorf("sending %s to %s: %w", sig, p.Name, err)
		}
	}
	return nil
}

// Tail returns the last bytes of the process's output.
func (p *Process) Tail(size int) string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-size):]))
}
