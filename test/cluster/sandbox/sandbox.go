package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// ErrEnded is what calls return when the sandbox is gone.
var ErrEnded = errors.New("the sandbox has ended")

// Sandbox is a set of namespaces with the daemons that run in it. Its methods
// may be called from several goroutines.
type Sandbox struct {
	Dir       string    // for the daemons' files; goes with the sandbox
	Addresses Addresses // how to reach in and out

	slot   int
	keeper *exec.Cmd
	socket *os.File
	ended  chan struct{} // init is gone

	mutex     sync.Mutex // over what follows, and over writes to the socket
	requests  *json.Encoder
	seq       int64
	replies   map[int64]chan event
	processes map[int]*Process
	early     map[int]int // ends that came before Start's caller had the Process
}

// Command is a program to run in the sandbox.
type Command struct {
	Name    string   `json:"-"`    // for errors, and of the log
	Argv    []string `json:"argv"` // Argv[0] is a path
	Env     []string `json:"env"`
	Log     string   `json:"log"`     // file that the output is added to; default logs/Name.log in Dir
	Cgroups []string `json:"cgroups"` // cgroup.procs files that the process is entered in
}

// Start makes a sandbox with the keeper program at path keeper. It needs root.
func Start(ctx context.Context, keeper string) (*Sandbox, error) {
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	reports, reportTo, err := os.Pipe()
	if err != nil {
		ours.Close()
		return nil, err
	}
	defer reports.Close()

	command := exec.Command(keeper, "keep")
	command.ExtraFiles = []*os.File{theirs, reportTo}
	command.Stderr = os.Stderr
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"} // none of ours, where tokens may be
	// Its own session: a Ctrl-C or a hang-up of our terminal isn't for it.
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = command.Start()
	reportTo.Close()
	if err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting the keeper: %w", err)
	}

	stop := context.AfterFunc(ctx, func() { _ = reports.SetReadDeadline(time.Now()) })
	defer stop()
	var r report
	if err := json.NewDecoder(reports).Decode(&r); err != nil || r.Err != "" {
		ours.Close()
		_ = command.Wait()
		if r.Err != "" {
			err = errors.New(r.Err)
		} else if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("making the sandbox: %w", err)
	}

	s := &Sandbox{
		Dir: r.Dir, Addresses: addressesOf(r.Slot), slot: r.Slot,
		keeper: command, socket: ours, ended: make(chan struct{}),
		requests: json.NewEncoder(ours), replies: map[int64]chan event{},
		processes: map[int]*Process{}, early: map[int]int{},
	}
	go s.listen()
	return s, nil
}

// socketPair returns two ends of which no program that we start inherits one by
// chance: who holds our end keeps the sandbox alive.
func socketPair() (ours, theirs *os.File, err error) {
	syscall.ForkLock.RLock()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(pair[0])
		syscall.CloseOnExec(pair[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	// Non-blocking, so that Close on our end wakes the reader.
	if err := syscall.SetNonblock(pair[0], true); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(pair[0]), "sandbox"), os.NewFile(uintptr(pair[1]), "owner"), nil
}

func (s *Sandbox) listen() {
	for events := json.NewDecoder(s.socket); ; {
		var e event
		if err := events.Decode(&e); err != nil {
			break
		}
		s.mutex.Lock()
		if e.Exited {
			s.exited(e.Pid, e.Status)
		} else if reply := s.replies[e.Seq]; reply != nil {
			delete(s.replies, e.Seq)
			reply <- e
		}
		s.mutex.Unlock()
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	close(s.ended)
	for pid := range s.processes {
		s.exited(pid, 128+int(syscall.SIGKILL))
	}
}

func (s *Sandbox) exited(pid, status int) {
	process := s.processes[pid]
	if process == nil {
		s.early[pid] = status
		return
	}
	delete(s.processes, pid)
	process.status = status
	close(process.done)
}

func (s *Sandbox) call(r request) (event, error) {
	reply := make(chan event, 1)
	s.mutex.Lock()
	s.seq++
	r.Seq = s.seq
	s.replies[r.Seq] = reply
	err := s.requests.Encode(r)
	s.mutex.Unlock()
	if err != nil {
		return event{}, ErrEnded
	}
	select {
	case e := <-reply:
		if e.Err != "" {
			return e, errors.New(e.Err)
		}
		return e, nil
	case <-s.ended:
		return event{}, ErrEnded
	}
}

// Start starts c. The process runs until it exits, or until the sandbox ends.
func (s *Sandbox) Start(c Command) (*Process, error) {
	if c.Log == "" {
		c.Log = filepath.Join(s.Dir, "logs", c.Name+".log")
	}
	e, err := s.call(request{Start: &c})
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", c.Name, err)
	}
	p := &Process{Name: c.Name, Log: c.Log, sandbox: s, pid: e.Pid, done: make(chan struct{})}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.processes[p.pid] = p
	if status, ok := s.early[p.pid]; ok {
		delete(s.early, p.pid)
		s.exited(p.pid, status)
	}
	select {
	case <-s.ended:
		return nil, fmt.Errorf("starting %s: %w", c.Name, ErrEnded)
	default:
		return p, nil
	}
}

// Run runs c to its end, and returns an error with the end of its output when
// it exits other than 0.
func (s *Sandbox) Run(ctx context.Context, c Command) error {
	p, err := s.Start(c)
	if err != nil {
		return err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		_ = p.Signal(syscall.SIGKILL)
		return fmt.Errorf("running %s: %w", c.Name, err)
	}
	if status != 0 {
		return fmt.Errorf("running %s: exit status %d: %s", c.Name, status, p.Tail(2000))
	}
	return nil
}

// Ended is closed when the sandbox is gone, asked for or not.
func (s *Sandbox) Ended() <-chan struct{} { return s.ended }

// Close ends every process of the sandbox and waits until nothing is left.
func (s *Sandbox) Close() error {
	s.socket.Close()
	<-s.ended
	if err := s.keeper.Wait(); err != nil {
		return fmt.Errorf("removing the sandbox: %w", err)
	}
	return nil
}

// MakeCgroup makes a cgroup below the sandbox's, in every hierarchy, and
// returns its path there. It goes with the sandbox.
func (s *Sandbox) MakeCgroup(name string) (string, error) {
	path := cgroupName(s.slot) + "/" + name
	return "/" + path, makeCgroup(path)
}

// CgroupFile returns one file, by which processes are entered in the cgroup
// with the given path: in version 1 that of the pids controller alone, which
// holds nothing back and is there to tell whose a process is.
func (s *Sandbox) CgroupFile(path string) string {
	dir := "/sys/fs/cgroup"
	if all, err := hierarchies(); err == nil {
		for _, h := range all {
			if filepath.Base(h.mount) == "pids" {
				dir = h.mount
			}
		}
	}
	return filepath.Join(dir, path, "cgroup.procs")
}

// Processes lists the processes below the cgroup with the given path, in any
// cgroup of the given name and all below that.
func (s *Sandbox) Processes(path, name string) ([]int, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	var found []int
	for _, h := range all {
		_ = filepath.WalkDir(filepath.Join(h.mount, path), func(dir string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() || d.Name() != name {
				return nil //nolint:nilerr // a cgroup that has just gone has no processes
			}
			below, err := filepath.Rel(h.mount, dir)
			if err == nil {
				found = append(found, cgroupProcesses([]hierarchy{h}, below)...)
			}
			return fs.SkipDir
		})
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// InCgroup lists the processes in the cgroup with the given path and all below it.
func (s *Sandbox) InCgroup(path string) []int {
	all, _ := hierarchies()
	pids := cgroupProcesses(all, path)
	slices.Sort(pids)
	return slices.Compact(pids) // version 1 has them once for each controller
}

// KillCgroup kills every process in the cgroup with the given path, and all
// below it.
func (s *Sandbox) KillCgroup(path string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	// Stopped first: those that are killed last must not see the others die.
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} {
		for _, pid := range cgroupProcesses(all, path) {
			if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
				return err
			}
		}
	}
	return nil
}
