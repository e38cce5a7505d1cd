package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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

// PID is the process' number as this machine counts.
func (p *Process) PID() (int, error) {
	data, err := os.ReadFile(filepath.Join(p.sandbox.Dir, "init.json"))
	if err != nil {
		return 0, err
	}
	var m mark
	if err := json.Unmarshal(data, &m); err != nil {
		return 0, err
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", m.Init))
	if err != nil {
		return 0, err
	}
	inside := fmt.Sprintf("\t%d\n", p.pid)
	for _, child := range strings.Fields(string(children)) {
		status, err := os.ReadFile(filepath.Join("/proc", child, "status"))
		if err != nil {
			continue // it has just ended
		}
		if _, numbers, found := strings.Cut(string(status), "\nNSpid:"); found && strings.HasSuffix(numbers[:strings.Index(numbers, "\n")+1], inside) {
			return strconv.Atoi(child)
		}
	}
	return 0, fmt.Errorf("%s has ended", p.Name)
}

// Tail returns the last bytes of the process's output.
func (p *Process) Tail(size int) string {
	data, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data[max(0, len(data)-size):]))
}
