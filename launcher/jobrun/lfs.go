package jobrun

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// envLFS has the bootstrap get the files that are in Git LFS. Without git-lfs it ends the
// job then.
const envLFS = "BUILDKITE_GIT_LFS_ENABLED"

// pointer is how a file begins that git checked out in the place of one in Git LFS.
const pointer = "version https://git-lfs.github.com/spec/v1\n"

// What is looked at is the job's: its files may be many, large, or no files. A pointer has
// less than 1024 bytes (the LFS specification).
const (
	maxAttributes = 1 << 20
	maxPointer    = 1 << 10
	maxEntries    = 10_000
	minEntries    = 100 // whatever the time
	maxLook       = 200 * time.Millisecond
)

// missingLFS is what the job's log says when its checkout has pointers of Git LFS in the
// place of files: git itself does that without a word. It is looked for at the end, because
// a command may get the files itself.
func (t *transport) missingLFS() string {
	if enabled, _ := strconv.ParseBool(t.job.Env[envLFS]); enabled || !t.state.snapshot().Ran { //nolint:errcheck // as the agent reads it
		return ""
	}
	path := pointerIn(t.builds, checkoutOf(t.job.Env), maxEntries)
	if path == "" {
		return ""
	}
	fix := "set " + envLFS + "=true in the step's env"
	if _, err := exec.LookPath("git-lfs"); err != nil {
		fix = "the image of the container " + contract.AgentContainer + " has no git-lfs. Use an image with it, and " + fix
	}
	return fmt.Sprintf("+++ onejob: %s is a pointer of Git LFS, not the file: %s.\n", contract.Word(path), fix)
}

var notInNames = regexp.MustCompile("[^[:alnum:]]")

// checkoutOf is where the stock bootstrap checks out, below the folder for builds.
func checkoutOf(env map[string]string) string {
	agent := notInNames.ReplaceAllString(env["BUILDKITE_AGENT_NAME"], "-")
	return filepath.Join(agent, env["BUILDKITE_ORGANIZATION_SLUG"], env["BUILDKITE_PIPELINE_SLUG"])
}

// pointerIn is a file of the checkout that is a pointer of Git LFS, "" if there is none
// among the first entries, most of them. The search stays in builds, whatever the job left there.
func pointerIn(builds, checkout string, most int) string {
	outer, err := os.OpenRoot(builds)
	if err != nil {
		return "" // nothing was checked out
	}
	defer outer.Close() //nolint:errcheck // only read
	root, err := outer.OpenRoot(checkout)
	if err != nil {
		return ""
	}
	defer root.Close() //nolint:errcheck // only read
	if !bytes.Contains(begin(root, ".gitattributes", maxAttributes), []byte("filter=lfs")) {
		return ""
	}
	n, until := 0, time.Now().Add(maxLook)
	more := func() bool { return n < minEntries || n < most && time.Now().Before(until) }
	for folders := []string{"."}; len(folders) > 0 && more(); {
		folder := folders[0]
		folders = folders[1:]
		found := ""
		each(root, folder, func(e os.FileInfo) bool {
			n++
			path := filepath.Join(folder, e.Name())
			switch {
			case e.IsDir() && path != ".git":
				folders = append(folders, path)
			case e.Mode().IsRegular() && e.Size() < maxPointer && bytes.HasPrefix(begin(root, path, maxPointer), []byte(pointer)):
				found = path
			}
			return found == "" && more()
		})
		if found != "" {
			return found
		}
	}
	return ""
}

// each calls more for each entry of a folder until it returns false.
func each(root *os.Root, folder string, more func(os.FileInfo) bool) {
	dir, err := open(root, folder)
	if err != nil {
		return
	}
	defer dir.Close() //nolint:errcheck // only read
	for {
		entries, err := dir.ReadDir(100)
		for _, e := range entries {
			if info, err := e.Info(); err == nil && !more(info) {
				return
			}
		}
		if err != nil { // io.EOF, too
			return
		}
	}
}

// begin is a regular file's beginning.
func begin(root *os.Root, path string, n int64) []byte {
	file, err := open(root, path)
	if err != nil {
		return nil
	}
	defer file.Close() //nolint:errcheck // only read
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(file, n)) //nolint:errcheck // what could be read counts
	return text
}

// open doesn't wait for the other end of a pipe that the job made.
func open(root *os.Root, path string) (*os.File, error) {
	return root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}
