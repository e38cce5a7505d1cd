package runner_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/onejob-dev/onejob/test/agentbin"
	"github.com/onejob-dev/onejob/test/hunt"
)

// huntEnv, when set, makes the test binary the program that looks for a secret:
// it names a file that holds the secret backwards.
const huntEnv = "ONEJOB_TEST_HUNT"

// TestMain lets more tests run at a time than there are processors: they wait
// for processes, which mostly wait for each other.
//
// The same binary is also the program that looks for secrets inside a job.
func TestMain(m *testing.M) {
	if path := os.Getenv(huntEnv); path != "" {
		backwards, err := os.ReadFile(path)
		if err == nil {
			var needle os.FileInfo
			if needle, err = os.Stat(path); err == nil {
				err = hunt.Run(os.Stdout, []string{hunt.Backwards(string(backwards))}, needle.ModTime(), strings.Fields(os.Getenv("HUNT_DIRS"))...)
			}
		}
		if err != nil {
			fmt.Println("hunt:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		if err := flag.Set("test.parallel", "24"); err != nil {
			panic(err)
		}
	}
	os.Exit(withBinaries(m.Run))
}

// withBinaries runs the tests with the binaries in memory: they are started
// thousands of times, and on a machine that is short of page cache each start
// would read 60 MB from the disk.
func withBinaries(run func() int) int {
	const memory = "/dev/shm"
	if _, err := os.Stat(memory); err != nil || os.Getenv("ONEJOB_BIN") != "" || testing.Short() {
		return run()
	}
	from, err := agentbin.BuildOnejob(context.Background())
	if err != nil {
		return run() // each test says so
	}
	dir, err := os.MkdirTemp(memory, "onejob-bin-")
	if err != nil {
		return run()
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"onejob-agent", "onejob-run", "buildkite-agent"} {
		if err := install(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			fmt.Fprintln(os.Stderr, "the binaries stay on disk:", err)
			return run()
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return run()
	}
	os.Setenv("ONEJOB_BIN", dir)
	return run()
}

// install copies a program. No child of a test beside may be made meanwhile: it
// would have the file open for writing until it is another program itself, and
// what is open for writing can't be executed.
func install(from, to string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	defer w.Close()
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}
