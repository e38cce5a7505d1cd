package mirror

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/jitter"
)

const (
	// wait is for a job that holds a mirror's lock. Such a job repaired the mirror before.
	wait = 5 * time.Second
	// settle is how long git's lock files stay as they are before they count as left behind:
	// gc goes on in the background when a job has given back the mirror's lock, and holds
	// these files for less.
	settle = 10 * time.Second
	// old is an age at which git's lock files are left behind for sure.
	old = 10 * time.Minute
	// most bounds the other mirrors that one job looks at, and mostTime how long it does.
	most     = 100
	mostTime = 2 * time.Second
)

// Repair is a repair of the mirrors in a folder. Run may be called by several processes at
// once.
type Repair struct {
	// Dir is the folder (BUILDKITE_GIT_MIRRORS_PATH).
	Dir string
	// Repository is the job's, whose mirror comes first.
	Repository string
	// Log is the job's log.
	Log io.Writer

	wait, settle time.Duration // for tests
}

// Run repairs the mirror of the job's repository, and those of others that nobody uses:
// the job's submodules have theirs there. It ends early if ctx does. What can't be repaired
// is left to git, which says in the job's log what is wrong.
func (r Repair) Run(ctx context.Context) {
	if r.wait == 0 {
		r.wait, r.settle = wait, settle
	}
	root, err := os.OpenRoot(r.Dir)
	if err != nil {
		return // there are no mirrors yet
	}
	defer root.Close() //nolint:errcheck // only read and removed from
	own := folder(r.Repository)
	r.mirror(ctx, root, own)
	others, over := context.WithTimeout(ctx, mostTime)
	defer over()
	entries, _ := fs.ReadDir(root.FS(), ".")
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() || e.Name() == own || e.Name() == "snapshots" })
	r.wait = 0
	for i, e := range entries {
		if i == most || others.Err() != nil {
			return
		}
		r.mirror(ctx, root, e.Name())
	}
}

var bad = regexp.MustCompile("[[:^alnum:]]")

// folder is the name that the stock agent gives a repository's mirror.
func folder(repository string) string { return bad.ReplaceAllString(repository, "-") }

// mirror repairs one mirror. Without anything to repair it takes no lock. A folder without
// the agent's lock is no mirror, whatever is in it: the volume may have others, such as
// lost+found, a cache, or a clone that the agent makes under the lock of another name.
func (r Repair) mirror(ctx context.Context, root *os.Root, name string) {
	if _, err := root.Lstat(name + cloneLock); err != nil {
		return
	}
	found := look(root, name)
	if !found.any() {
		return
	}
	unlock := lock(ctx, root, name, r.wait)
	if unlock == nil {
		return
	}
	defer unlock()
	found = r.settled(ctx, root, name)
	switch {
	case found.broken:
		if err := root.RemoveAll(name); err == nil {
			r.say(name, "a job was killed while it made this mirror, which is no repository yet: it is removed, and made anew")
		}
	case len(found.locks) > 0:
		for _, f := range found.locks {
			_ = root.Remove(f.name) // git says so, if it can't
		}
		r.say(name, "a job was killed while it updated this mirror, and left locks of git's (%s), with which nobody can update it: they are removed", strings.Join(found.names(), ", "))
	}
	for _, f := range found.rest {
		_ = root.Remove(f) // it only takes room
	}
}

func (r Repair) say(name, format string, a ...any) {
	fmt.Fprintf(r.Log, "# onejob: the mirror %s: %s\n", name, fmt.Sprintf(format, a...)) //nolint:errcheck // then there is no log
}

// settled is what is found once git's locks have stayed the same for a while. It is nothing
// if they go on changing. What is no repository needs no such wait: whoever makes a mirror
// holds its lock.
func (r Repair) settled(ctx context.Context, root *os.Root, name string) found {
	before, since, until := look(root, name), time.Now(), time.Now().Add(3*r.settle)
	for len(before.locks) > 0 && !before.old() && time.Since(since) < r.settle {
		if !jitter.Sleep(ctx, r.settle/20) {
			return found{}
		}
		now := look(root, name)
		if !now.same(before) {
			if since = time.Now(); since.After(until) {
				return found{}
			}
		}
		before = now
	}
	return before
}
