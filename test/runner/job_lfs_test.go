package runner_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/repo"
)

// TestJobLFS: a repository with a file in Git LFS, for an image that has git-lfs and for one
// that hasn't: a job gets the file, or its people are told why not.
func TestJobLFS(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	with, without := lfsPaths(l)
	origin := "file://" + l.lfsRepository(with)
	for _, row := range []struct {
		name, path, env, command string
		exit                     string
		want, never              []string
	}{
		{"asked for, and there", with, "BUILDKITE_GIT_LFS_ENABLED: 'true'", "cat a.bin", "0", []string{"the file itself"}, []string{"is a pointer"}},
		{"there, and not asked for", with, "", "cat a.bin", "0", []string{"git-lfs.github.com/spec", "+++ onejob: a.bin is a pointer of Git LFS, not the file: set BUILDKITE_GIT_LFS_ENABLED=true in the step's env."}, nil},
		{"not there", without, "", "cat a.bin; exit 3", "3", []string{"git-lfs.github.com/spec", "+++ onejob: a.bin is a pointer of Git LFS, not the file: the image of the container agent has no git-lfs. Use an image with it"}, nil},
		{"not there, and asked for", without, "BUILDKITE_GIT_LFS_ENABLED: 'true'", "cat a.bin", "1", []string{"'lfs' is not a git command", "git-lfs may not be installed"}, []string{"is a pointer"}},
		{"not there, and the command gets the file", without, "", "echo fetched > a.bin", "0", nil, []string{"is a pointer"}},
		{"no checkout", without, "BUILDKITE_SKIP_CHECKOUT: 'true'", "true", "0", nil, []string{"is a pointer"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := *l
			l.T = t
			id := l.built(origin, "steps: [{command: '"+row.command+"', env: {"+row.env+"}}]")[0]
			cmd := l.oursCommand(id, l.real())
			cmd.Env = append(cmd.Env, strings.Replace(cmd.Env[0], os.Getenv("PATH"), row.path, 1))
			<-l.start(cmd).done
			if j := l.job(id); j.ExitStatus != row.exit {
				t.Errorf("exit status %s, want %s; its log:\n%s", j.ExitStatus, row.exit, l.log(id))
			}
			l.wantInLog(id, row.want...)
			l.wantNotInLog(id, row.never...)
		})
	}
}

// lfsRepository makes a repository with a file in Git LFS.
func (l *lab) lfsRepository(path string) string {
	l.Helper()
	work := l.repository("work", map[string]string{".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
	bare := filepath.Join(l.dir, "bare.git")
	l.git(work, "clone", "-q", "--bare", work, bare)
	l.write("work/a.bin", "the file itself\n", 0o644)
	script := "git lfs install --local && git add . && git -c user.name=t -c user.email=t@t.example commit -q -m second && git push -q file://" + bare + " main"
	cmd := exec.Command("sh", "-e", "-c", script)
	cmd.Dir = work
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "PATH="+path)
	if out, err := cmd.CombinedOutput(); err != nil {
		l.Fatalf("%s: %v\n%s", script, err, out)
	}
	return bare
}

// lfsPaths are a PATH with git-lfs in it, and one without.
func lfsPaths(l *lab) (with, without string) {
	l.Helper()
	path := os.Getenv("PATH")
	if _, err := exec.LookPath("git-lfs"); err == nil {
		return path, allBut(l, "git-lfs")
	}
	dir, err := repo.Cache("git-lfs")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "git-lfs"))
	}
	if err != nil {
		l.Fatalf("git-lfs isn't there: run `make git-lfs`, or install Debian's package of that name (%v)", err)
	}
	return dir + ":" + path, path
}

// allBut is a folder with all programs of this machine but one.
func allBut(l *lab, program string) string {
	l.Helper()
	dir := filepath.Join(l.dir, "all-but-"+program)
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.Fatal(err)
	}
	for _, from := range filepath.SplitList(os.Getenv("PATH")) {
		entries, _ := os.ReadDir(from)
		for _, e := range entries {
			if e.Name() != program {
				_ = os.Symlink(filepath.Join(from, e.Name()), filepath.Join(dir, e.Name())) // the first of a name counts
			}
		}
	}
	return dir
}
