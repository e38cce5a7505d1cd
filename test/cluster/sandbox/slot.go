package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// Root is the directory of all sandboxes, with a lock and a directory for each.
// It is one for the machine, and can't be another for a test: the locks guard
// names and addresses of which the machine has one set. It is short because
// paths of sockets are, and on a disk because images are unpacked in it.
const Root = "/var/tmp/onejob-cluster"

// maxSlots bounds how many sandboxes stand at once on a machine. A slot is a
// number from which names and addresses follow, so that no two collide.
const maxSlots = 16

// slot is one of the numbered places for a sandbox, held by a file lock.
type slot struct {
	number int
	lock   *os.File
}

// mark is what a keeper writes down about its init, for whoever has to sweep.
type mark struct {
	Init  int    `json:"init"`  // as the machine counts
	Start uint64 `json:"start"` // clock ticks since boot: a pid alone may be reused
}

// takeSlot locks the first free slot and sweeps every free one of
// what a killed keeper left there.
func takeSlot() (*slot, error) {
	if err := os.MkdirAll(Root, 0o700); err != nil {
		return nil, err
	}
	var taken *slot
	for n := range maxSlots {
		s := &slot{number: n}
		switch held, err := s.tryLock(taken == nil); {
		case err != nil:
			return nil, err
		case !held:
			continue
		}
		if err := s.sweep(); err != nil {
			return nil, fmt.Errorf("sweeping slot %d: %w", n, err)
		}
		if taken == nil {
			taken = s
		} else {
			s.lock.Close()
		}
	}
	if taken == nil {
		return nil, fmt.Errorf("all %d slots below %s are taken", maxSlots, Root)
	}
	return taken, nil
}

func (s *slot) tryLock(create bool) (bool, error) {
	flags := os.O_RDWR
	if create {
		flags |= os.O_CREATE
	}
	file, err := os.OpenFile(filepath.Join(Root, strconv.Itoa(s.number)+".lock"), flags, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // never used: nothing to sweep either
	}
	if err != nil {
		return false, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return false, err
	}
	s.lock = file
	return true, nil
}

func (s *slot) dir() string      { return filepath.Join(Root, strconv.Itoa(s.number)) }
func (s *slot) markPath() string { return filepath.Join(s.dir(), "init.json") }

// link is the machine's end of the veth pair. 15 characters at most.
func (s *slot) link() string { return fmt.Sprintf("onejob%d", s.number) }

// sweep removes what the slot's sandbox left on the machine. The processes
// ended with init; cgroups may need a moment until the kernel lets go of them.
func (s *slot) sweep() error {
	if data, err := os.ReadFile(s.markPath()); err == nil {
		var m mark
		if json.Unmarshal(data, &m) == nil && startTime(m.Init) == m.Start && m.Start != 0 {
			_ = syscall.Kill(m.Init, syscall.SIGKILL)
			for deadline := time.Now().Add(10 * time.Second); startTime(m.Init) == m.Start && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	if _, err := os.Stat("/sys/class/net/" + s.link()); err == nil {
		// Gone by itself with the namespace of its peer, but not at once.
		_ = exec.Command("ip", "link", "delete", s.link()).Run()
	}
	return errors.Join(removeCgroups(cgroupName(s.number)), os.RemoveAll(s.dir()))
}

// startTime of a process in clock ticks since boot; 0 if there is none, or if
// it is a zombie: those hold nothing any more.
func startTime(pid int) uint64 {
	if pid <= 0 {
		return 0
	}
	fields := procStat(pid)
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return 0
	}
	start, _ := strconv.ParseUint(fields[19], 10, 64)
	return start
}
