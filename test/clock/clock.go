// Package clock sets the wall clock of single processes that run, static Go
// programs included, and of nothing else on the machine.
//
// A time namespace moves the monotonic clocks only, and a preloaded library is not
// for static programs. But they all ask the kernel's vDSO, a page of code that each
// process has a private copy of as soon as a debugger writes to it:
//
//	program ──▶ vDSO clock_gettime ──(jump)──▶ our few bytes: system call, + skew if it is the wall clock
//
// The monotonic clock stays as it is, as when a person sets a machine's clock.
package clock

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrUnsupported is what Set returns where the machine's processor is another, or its
// kernel lets nobody write to a vDSO. What is merely not as expected is another error.
var ErrUnsupported = errors.New("the clock of a process can't be set on this machine")

// hook is what clock_gettime does instead, for x86-64. Its last eight bytes are
// the skew in seconds.
var hook = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228: clock_gettime
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi: CLOCK_REALTIME?
	0x75, 0x0a, // jne done
	0x48, 0x8b, 0x0d, 0x04, 0x00, 0x00, 0x00, // mov rcx, [rip+4]: the skew
	0x48, 0x01, 0x0e, // add [rsi], rcx: the seconds
	0xc3, // done: ret
}

// jump is the length of the jump to the hook, which is all that is written over code
// that a process may be in.
const jump = 5

// Set sets the wall clock of a process to a skew from the machine's, in whole seconds.
// It holds until the next Set or the end of the program: a child that executes another
// one has the machine's clock. The first time, the process is stopped for a moment.
func Set(pid int, skew time.Duration) error {
	v, err := open(pid)
	if err != nil {
		return err
	}
	defer v.memory.Close()
	seconds := binary.LittleEndian.AppendUint64(nil, uint64(int64(skew/time.Second)))
	if v.hooked() {
		return v.write(v.room+int64(len(hook)), seconds)
	}
	if skew == 0 {
		return nil
	}
	if err := v.write(v.room, append(bytes.Clone(hook), seconds...)); err != nil {
		return err
	}
	to := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(v.room-v.function-jump))
	return v.stopped(func() error { return v.write(v.function, to) })
}

// vdso is a process' own.
type vdso struct {
	pid      int
	memory   *os.File
	code     []byte
	start    int64
	function int64 // of clock_gettime
	room     int64 // for the hook
}

func open(pid int) (*vdso, error) {
	start, end, err := mapped(pid)
	if err != nil {
		return nil, err
	}
	memory, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	v := &vdso{pid: pid, memory: memory, start: start, code: make([]byte, end-start)}
	if err := v.read(); err != nil {
		memory.Close()
		return nil, fmt.Errorf("the vDSO of process %d: %w", pid, err)
	}
	return v, nil
}

func (v *vdso) read() error {
	if _, err := v.memory.ReadAt(v.code, v.start); err != nil {
		return err
	}
	image, err := elf.NewFile(bytes.NewReader(v.code))
	if err != nil {
		return err
	}
	symbols, err := image.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if s.Name == "__vdso_clock_gettime" {
			v.function = v.start + int64(s.Value)
		}
	}
	// The kernel fills the last page up with zeros.
	v.room = v.start + int64(len(v.code)) - int64(len(hook)) - 16
	room := v.code[v.room-v.start:]
	free := len(bytes.Trim(room, "\x00")) == 0
	switch {
	case image.Machine != elf.EM_X86_64:
		return ErrUnsupported
	case v.function == 0:
		return errors.New("it has no clock_gettime")
	case !free && !v.hooked():
		return errors.New("its last page is full")
	}
	return nil
}

func (v *vdso) hooked() bool {
	return bytes.HasPrefix(v.code[v.room-v.start:], hook) && v.code[v.function-v.start] == 0xe9
}

func (v *vdso) write(at int64, data []byte) error {
	_, err := v.memory.WriteAt(data, at)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EIO) {
		return errors.Join(ErrUnsupported, err)
	}
	return err
}

// stopped does something while no thread of the process runs, or is where a jump
// will be written.
func (v *vdso) stopped(do func() error) error {
	if !v.frozen() { // by somebody else, who will wake it
		defer func() { _ = syscall.Kill(v.pid, syscall.SIGCONT) }()
	}
	for range 100 {
		if err := syscall.Kill(v.pid, syscall.SIGSTOP); err != nil {
			return err
		}
		if v.clear() {
			return do()
		}
		_ = syscall.Kill(v.pid, syscall.SIGCONT)
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("process %d is never out of its vDSO", v.pid)
}

func (v *vdso) frozen() bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.pid))
	return bytes.Contains(status, []byte("\nState:\tT"))
}

// clear reports whether all threads have stopped, and none of them within the
// bytes that the jump takes.
func (v *vdso) clear() bool {
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Microsecond) {
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", v.pid))
		if err != nil {
			return false
		}
		running := false
		for _, thread := range threads {
			// "running", or a system call's numbers, the last of which is where it came from.
			data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/syscall", v.pid, thread.Name()))
			fields := strings.Fields(string(data))
			if err != nil || len(fields) < 2 {
				running = true
				break
			}
			at, err := strconv.ParseInt(strings.TrimPrefix(fields[len(fields)-1], "0x"), 16, 64)
			if err != nil || at > v.function-1 && at < v.function+jump {
				return false
			}
		}
		if !running {
			return true
		}
	}
	return false
}

// mapped is where a process has its vDSO.
func mapped(pid int) (start, end int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	if len(maps) == 0 {
		return 0, 0, fmt.Errorf("process %d has ended: %w", pid, fs.ErrNotExist)
	}
	for line := range strings.Lines(string(maps)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			return 0, 0, err
		}
		return start, end, nil
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}
