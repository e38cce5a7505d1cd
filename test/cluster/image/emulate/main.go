//go:build linux

// Command emulate runs a program of another architecture's root file system in it:
//
//	emulate aarch64 TREE COMMAND ARGUMENTS…
//
// qemu runs the program, and proot hands over to qemu what it starts in turn: binfmt_misc
// would do that, too, but isn't in every kernel. The system calls that are newer than
// proot, and whose paths it would leave as they are, on this machine, are answered with
// ENOSYS: then every program makes the older ones.
package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newer are the system calls with a path that proot 5.1 doesn't know, and clone3, which
// it doesn't follow.
var newer = []uint32{unix.SYS_STATX, unix.SYS_OPENAT2, unix.SYS_FACCESSAT2, unix.SYS_CLONE3, unix.SYS_RENAMEAT2, unix.SYS_EXECVEAT, unix.SYS_FCHMODAT2}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "emulate MACHINE TREE COMMAND ARGUMENTS…")
		os.Exit(2)
	}
	runtime.LockOSThread() // the filter is the thread's, and exec keeps it
	err := refuse(newer)
	if err == nil {
		args := append([]string{"proot", "-q", "/usr/bin/qemu-" + os.Args[1] + "-static", "-r", os.Args[2], "-w", "/"}, os.Args[3:]...)
		err = syscall.Exec("/usr/bin/proot", args, append(os.Environ(), "PROOT_NO_SECCOMP=1")) // its own filter would come before ours
	}
	fmt.Fprintln(os.Stderr, "emulate:", err)
	os.Exit(1)
}

// refuse has system calls answered with ENOSYS, by seccomp(2).
func refuse(calls []uint32) error {
	const number = 0 // in struct seccomp_data
	filter := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number}}
	for i, call := range calls {
		filter = append(filter, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: call, Jt: uint8(len(calls) - i)})
	}
	filter = append(filter,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(syscall.ENOSYS)})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return fmt.Errorf("seccomp: %w", err)
	}
	runtime.KeepAlive(filter)
	return nil
}
