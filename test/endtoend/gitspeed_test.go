package endtoend

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

var gitSpeed = flag.Int("gitspeed", 500, "BenchmarkCheckout: how many MB the repository has")

// BenchmarkCheckout is for the table in docs/git.md. It measures each checkout a few times,
// whatever b.N is.
func BenchmarkCheckout(b *testing.B) {
	ctx, cancel := context.WithTimeout(b.Context(), 15*time.Minute)
	defer cancel()
	large(b, ctx, *gitSpeed)
	claimMirrors(b, ctx)
	flags := func(checkout object) object {
		return object{"command": "true", "plugins": []any{object{"kubernetes": object{"checkout": checkout}}}}
	}
	for _, v := range []struct {
		name, queue string
		step        object
		times       int
	}{
		{"whole", "default", object{"command": "true"}, 3},
		{"--depth=1", "default", flags(object{"cloneFlags": "-v --depth=1", "fetchFlags": "-v --prune --depth=1"}), 3},
		{"--filter=blob:none", "default", flags(object{"cloneFlags": "-v --filter=blob:none"}), 3},
		{"a new mirror", "mirroring", object{"command": "true"}, 1},
		{"a mirror", "mirroring", object{"command": "true"}, 3},
		{"a mirror, command in its own container", "mirroring", object{"command": "git log -1", "image": "localhost/onejob-home:dev"}, 3},
	} {
		var took []float64
		for range v.times {
			build := create(b, simulator.BuildRequest{Queue: v.queue, Repo: on.URL + "smart/large.git"}, v.step)
			if err := on.Simulator.Wait(ctx, func() bool { of, _ := on.Simulator.Build(build.Number); return of.Done() }); err != nil {
				b.Fatal(err)
			}
			job, _ := on.Simulator.Job(build.JobIDs[0])
			log, _ := on.Simulator.Log(build.JobIDs[0])
			if job.ExitStatus != "0" {
				b.Fatalf("%s: %s", job.ExitStatus, log)
			}
			took = append(took, stamped(b, string(log), "Running commands")-stamped(b, string(log), "Preparing working directory"))
		}
		slices.Sort(took)
		fmt.Printf("    %-40s median %5.1f s of %.1f\n", v.name, took[len(took)/2], took)
	}
}

var stamp = regexp.MustCompile(`\x1b_bk;t=(\d+)\x07`)

// stamped is when a line of a job's log was written, in seconds.
func stamped(t testing.TB, log, line string) float64 {
	t.Helper()
	before, _, found := strings.Cut(log, line)
	stamps := stamp.FindAllStringSubmatch(before, -1)
	if !found || len(stamps) == 0 {
		t.Fatalf("no time of %q in:\n%s", line, log)
	}
	ms, err := strconv.Atoi(stamps[len(stamps)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return float64(ms) / 1000
}

// large makes a repository of so many MB in four commits, each of which replaces all files.
func large(t testing.TB, ctx context.Context, megabytes int) {
	t.Helper()
	work := filepath.Join(served, "work-large")
	git := func(args ...string) {
		t.Helper()
		args = append([]string{"-c", "core.compression=0", "-c", "core.bigFileThreshold=100k", "-c", "user.name=e2e", "-c", "user.email=e2e@example.com"}, args...)
		if out, err := exec.CommandContext(ctx, "git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v: %s", err, out)
		}
	}
	git("init", "--quiet", "--initial-branch=main", work)
	for range 4 {
		for i := range megabytes / 4 {
			text := make([]byte, 1<<20)
			rand.Read(text)
			if err := os.WriteFile(filepath.Join(work, fmt.Sprintf("file-%d", i)), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		git("-C", work, "add", ".")
		git("-C", work, "commit", "--quiet", "--message=all")
	}
	git("clone", "--quiet", "--bare", work, filepath.Join(served, "large.git"))
	git("--git-dir", filepath.Join(served, "large.git"), "repack", "-adq")
	if err := os.RemoveAll(work); err != nil {
		t.Fatal(err)
	}
}
