package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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

// numbersInside finds a process' number in its innermost namespace.
var numbersInside = regexp.MustCompile(`(?m)^NSpid:.*\t(\d+)$`)

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
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", m.Init)) // by the thread that forked
	if err != nil {
		return 0, err
	}
	for _, list := range lists {
		children, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(children)) {
			status, _ := os.ReadFile(filepath.Join("/proc", child, "status")) // it may just have ended
			numbers := numbersInside.FindSubmatch(status)
			if numbers != nil && string(numbers[1]) == strconv.Itoa(p.pid) {
				return strconv.Atoi(child)
			}
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
