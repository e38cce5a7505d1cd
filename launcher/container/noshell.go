package container

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/buildkite/shellwords"
)

// shell is the command line that runs a command in this container: the agent's setting if
// that program exists, else /bin/sh, else onejob-step exec.
func shell(set, dir string) string {
	switch {
	case there(set):
		return set
	case there("/bin/sh"):
		return "/bin/sh -e -c"
	}
	return filepath.Join(dir, binFolder, "onejob-step") + " exec"
}

// Exec runs a command in an image without a shell. It splits each line into words as a shell
// does, and does nothing else that a shell does. It stops at the first line that fails and
// returns its exit status: 127 if the program doesn't exist, 126 if it can't be started, 2
// if the line can't be split.
func Exec(command string, log io.Writer) int {
	// A cancellation signals the whole process group. Exec catches the signal, so that the
	// program that it runs decides how to end.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	for line := range strings.Lines(command) {
		words, err := shellwords.SplitPosix(line)
		if err != nil {
			fmt.Fprintf(log, "%v in %q, and the image has no shell\n", err, strings.TrimSpace(line)) //nolint:errcheck // then there is no log
			return 2
		}
		if len(words) == 0 {
			continue
		}
		if code := execute(words, log); code != 0 {
			return code
		}
	}
	return 0
}

func execute(words []string, log io.Writer) int {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	end, err := ended(cmd.Run())
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		fmt.Fprintf(log, "%s: there is no such program in this image, and no shell\n", words[0]) //nolint:errcheck // then there is no log
		return 127
	case err != nil:
		fmt.Fprintln(log, err) //nolint:errcheck // then there is no log
		return 126
	case end.Signal != 0:
		return 128 + end.Signal
	}
	return end.ExitStatus
}
