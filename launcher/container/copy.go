package container

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// CopyAgent brings the stock agent into the shared folder. It takes longer than Copy, and so
// is done while the command's container is started.
func CopyAgent(dir, program string) error {
	bin := filepath.Join(dir, binFolder)
	if err := os.MkdirAll(bin, 0o755); err != nil { //nolint:gosec // any user runs them
		return fmt.Errorf("making the folder for programs: %w", err)
	}
	if err := copyProgram(program, filepath.Join(bin, filepath.Base(program))); err != nil {
		return fmt.Errorf("copying %s for the command's container: %w", program, err)
	}
	return nil
}

// Copy copies programs into bin of a pod's shared folder, for an image that lacks them, and
// makes the folder for sockets. On a file system that can share blocks the kernel copies no
// data.
func Copy(dir string, programs ...string) error {
	bin := filepath.Join(dir, binFolder)
	if err := os.MkdirAll(bin, 0o755); err != nil { //nolint:gosec // any user runs them
		return fmt.Errorf("making the folder for programs: %w", err)
	}
	for _, p := range programs {
		if err := copyProgram(p, filepath.Join(bin, filepath.Base(p))); err != nil {
			return fmt.Errorf("copying %s for the command's container: %w", p, err)
		}
	}
	return MakeSockets(dir)
}

// MakeSockets makes the folder for sockets in a pod's shared folder. Any user may make some
// there, because the containers may run as different users.
func MakeSockets(dir string) error {
	folder := filepath.Join(dir, "sockets")
	if err := os.MkdirAll(folder, 0o777); err != nil { //nolint:gosec // see above
		return fmt.Errorf("making %s: %w", folder, err)
	}
	if err := os.Chmod(folder, 0o777); err != nil { //nolint:gosec // whatever the umask was
		return fmt.Errorf("opening %s for all users: %w", folder, err)
	}
	return nil
}

// Beside finds a program in the folder of another program, or else on PATH.
func Beside(other, name string) (string, error) {
	path := filepath.Join(filepath.Dir(other), name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return exec.LookPath(name)
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()                                                       //nolint:errcheck // only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755) //nolint:gosec // it is run
	if err != nil {
		return err
	}
	if _, err = io.Copy(out, in); err != nil {
		out.Close() //nolint:errcheck // it isn't whole
		return err
	}
	return out.Close()
}
