package mirror

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mirrors is a folder of mirrors, and a repository that others have.
type mirrors struct {
	*testing.T
	dir, origin string
	log         bytes.Buffer
}

func newMirrors(t *testing.T) *mirrors {
	t.Helper()
	dir := t.TempDir()
	for k, v := range map[string]string{"HOME": dir, "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.com", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.com"} {
		t.Setenv(k, v)
	}
	m := &mirrors{T: t, dir: filepath.Join(dir, "mirrors"), origin: filepath.Join(dir, "origin")}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	m.git("init", "--quiet", "--initial-branch=main", m.origin)
	m.commit("first")
	return m
}

func (m *mirrors) git(args ...string) {
	m.Helper()
	if out, err := exec.CommandContext(m.Context(), "git", args...).CombinedOutput(); err != nil {
		m.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// commit adds a file, and a branch that goes away again.
func (m *mirrors) commit(text string) {
	m.Helper()
	if err := os.WriteFile(filepath.Join(m.origin, text), bytes.Repeat([]byte(text), 1000), 0o600); err != nil {
		m.Fatal(err)
	}
	m.git("-C", m.origin, "add", ".")
	m.git("-C", m.origin, "commit", "--quiet", "--message="+text)
}

// at is the mirror's folder.
func (m *mirrors) at() string { return filepath.Join(m.dir, folder("file://"+m.origin)) }

// update does as the stock agent: it clones a mirror where there is none, else it fetches.
// Its lock is there before that, and stays.
func (m *mirrors) update(ctx context.Context) ([]byte, error) {
	m.locked(m.at())
	if _, err := os.Stat(m.at()); err != nil {
		return exec.CommandContext(ctx, "git", "clone", "--mirror", "--", "file://"+m.origin, m.at()).CombinedOutput()
	}
	if out, err := exec.CommandContext(ctx, "git", "--git-dir", m.at(), "config", "--get-all", "remote.origin.url").CombinedOutput(); err != nil {
		return out, err
	}
	return exec.CommandContext(ctx, "git", "-c", "core.hooksPath=/dev/null", "--git-dir", m.at(), "fetch", "--", "origin", "main").CombinedOutput()
}

func (m *mirrors) locked(mirror string) {
	m.Helper()
	if err := os.WriteFile(mirror+cloneLock, nil, 0o600); err != nil {
		m.Fatal(err)
	}
}

func (m *mirrors) updated() {
	m.Helper()
	if out, err := m.update(m.Context()); err != nil {
		m.Fatalf("the mirror can't be updated: %v: %s", err, out)
	}
}

func (m *mirrors) repair(settle time.Duration) {
	Repair{Dir: m.dir, Repository: "file://" + m.origin, Log: &m.log, wait: time.Second, settle: settle}.Run(m.Context())
}

func (m *mirrors) leave(name string) string {
	m.Helper()
	path := filepath.Join(m.at(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		m.Fatal(err)
	}
	return path
}

// TestRepair: whatever lock a killed git left, the next job's git does its work.
func TestRepair(t *testing.T) {
	for _, tt := range []struct {
		left string
		git  []string // what fails of it
	}{
		{"refs/heads/main.lock", []string{"fetch", "origin", "main"}},
		{"refs/pull/7/head.lock", []string{"fetch", "origin", "main:refs/pull/7/head"}},
		{"packed-refs.lock", []string{"pack-refs", "--all"}},
		{"packed-refs.new", []string{"pack-refs", "--all"}},
		{"config.lock", []string{"remote", "set-url", "origin", "x"}},
		{"HEAD.lock", []string{"symbolic-ref", "HEAD", "refs/heads/x"}},
		{"shallow.lock", []string{"fetch", "--depth=1", "origin", "main"}},
	} {
		t.Run(tt.left, func(t *testing.T) {
			m := newMirrors(t)
			m.updated()
			m.commit("second")
			m.leave(tt.left)
			args := append([]string{"--git-dir", m.at()}, tt.git...)
			if out, err := exec.CommandContext(t.Context(), "git", args...).CombinedOutput(); err == nil {
				t.Fatalf("git works with it: %s", out)
			}
			m.repair(20 * time.Millisecond)
			m.git(args...)
			if !strings.Contains(m.log.String(), "left locks of git's ("+tt.left+")") {
				t.Errorf("the log says %q", m.log.String())
			}
		})
	}
}

// TestRepairLeaves: what a living git holds, and what checkouts may use, stays; without
// anything to repair there is nothing to say.
func TestRepairLeaves(t *testing.T) {
	for _, tt := range []struct {
		name   string
		do     func(*mirrors) (path string)
		stays  bool
		says   string
		settle time.Duration
	}{
		{name: "nothing", do: func(m *mirrors) string { return m.at() }, stays: true},
		{name: "a lock under the agent's lock", stays: true, do: func(m *mirrors) string {
			f, err := os.Create(m.at() + ".updatelockf")
			if err == nil {
				err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
			}
			if err != nil {
				m.Fatal(err)
			}
			m.Cleanup(func() { f.Close() })
			return m.leave("refs/heads/main.lock")
		}},
		{name: "an old lock, at once", settle: time.Hour, says: "left locks", do: func(m *mirrors) string {
			path := m.leave("refs/heads/main.lock")
			m.age(path, old+time.Minute)
			return path
		}},
		{name: "a lock of gc's", stays: true, do: func(m *mirrors) string { return m.leave("objects/maintenance.lock") }},
		{name: "an old lock of gc's", do: func(m *mirrors) string {
			path := m.leave("objects/maintenance.lock")
			m.age(path, upkeepAge+time.Minute)
			return path
		}},
		{name: "half a pack", stays: true, do: func(m *mirrors) string { return m.leave("objects/pack/tmp_pack_x") }},
		{name: "an old half of a pack", do: func(m *mirrors) string {
			path := m.leave("objects/pack/tmp_pack_x")
			m.age(path, restAge+time.Minute)
			return path
		}},
		{name: "no repository", says: "no repository yet", do: func(m *mirrors) string {
			if err := os.RemoveAll(m.at()); err != nil {
				m.Fatal(err)
			}
			return m.leave("HEAD")
		}},
		{name: "no repository, but objects", stays: true, do: func(m *mirrors) string {
			if err := os.Remove(filepath.Join(m.at(), "HEAD")); err != nil {
				m.Fatal(err)
			}
			return m.at()
		}},
		{name: "another's mirror", says: "the mirror other:", do: func(m *mirrors) string {
			if err := os.CopyFS(filepath.Join(m.dir, "other"), os.DirFS(m.at())); err != nil {
				m.Fatal(err)
			}
			m.locked(filepath.Join(m.dir, "other"))
			path := filepath.Join(m.dir, "other", "refs", "heads", "x.lock")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				m.Fatal(err)
			}
			return path
		}},
		{name: "what is no mirror", stays: true, do: func(m *mirrors) string {
			path := filepath.Join(m.dir, "npm", "yarn.lock")
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				m.Fatal(err)
			}
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				m.Fatal(err)
			}
			m.age(path, old+time.Minute)
			return path
		}},
		{name: "a volume's own folder", stays: true, do: func(m *mirrors) string {
			path := filepath.Join(m.dir, "lost+found")
			if err := os.Mkdir(path, 0o755); err != nil {
				m.Fatal(err)
			}
			return path
		}},
		{name: "what a link leads to", stays: true, do: func(m *mirrors) string {
			path := filepath.Join(m.TempDir(), "x.lock")
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				m.Fatal(err)
			}
			if err := os.Symlink(filepath.Dir(path), filepath.Join(m.at(), "refs", "linked")); err != nil {
				m.Fatal(err)
			}
			return path
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirrors(t)
			m.updated()
			path := tt.do(m)
			if tt.settle == 0 {
				tt.settle = 20 * time.Millisecond
			}
			m.repair(tt.settle)
			if _, err := os.Lstat(path); (err == nil) != tt.stays {
				t.Errorf("%s: %v", path, err)
			}
			if got := m.log.String(); !strings.Contains(got, tt.says) || tt.says == "" && got != "" {
				t.Errorf("the log says %q, want %q", got, tt.says)
			}
		})
	}
}

func (m *mirrors) age(path string, by time.Duration) {
	m.Helper()
	at := time.Now().Add(-by)
	if err := os.Chtimes(path, at, at); err != nil {
		m.Fatal(err)
	}
}

// TestRepairOnASlowMachine: a lock that stays the same is removed, however late this process
// looks again.
func TestRepairOnASlowMachine(t *testing.T) {
	m := newMirrors(t)
	m.updated()
	for range 100 {
		path := m.leave("packed-refs.lock")
		m.repair(10 * time.Microsecond) // no sleep is as short as three of these
		if _, err := os.Lstat(path); err == nil {
			t.Fatal("the lock is there")
		}
	}
}

// TestRepairWaits: a lock that its holder gives back is none to remove.
func TestRepairWaits(t *testing.T) {
	m := newMirrors(t)
	m.updated()
	path := m.leave("packed-refs.lock")
	time.AfterFunc(30*time.Millisecond, func() { os.Remove(path) })
	m.repair(10 * time.Second)
	if got := m.log.String(); got != "" {
		t.Errorf("the log says %q", got)
	}
}

// TestRepairKilled: a git that is killed at any time, in a clone or in a fetch, keeps no
// later job from its mirror.
func TestRepairKilled(t *testing.T) {
	m := newMirrors(t)
	for i := range 30 {
		if i%3 == 0 {
			if err := os.RemoveAll(m.at()); err != nil {
				t.Fatal(err)
			}
		}
		m.commit("more-" + strings.Repeat("x", i+1))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(8000))*time.Microsecond)
		_, _ = m.update(ctx) // killed by SIGKILL
		cancel()
		m.repair(20 * time.Millisecond)
		m.updated()
	}
}
