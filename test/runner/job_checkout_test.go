package runner_test

import (
	"fmt"
	"testing"

	"github.com/onejob-dev/onejob/simulator"
)

// What docs/git.md says of the checkout's settings: which of them a step may set, and who
// wins if the queue's template says something else.
func TestCheckoutSettings(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	repo := l.repository("repo", map[string]string{"src/a.txt": "a", "docs/b.txt": "b", "big/c.txt": "c"})
	l.git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "file://"+l.repository("sub", map[string]string{"s.txt": "s"}), "sub")
	l.git(repo, "-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "-q", "-m", "second")
	hooks := l.hooks("global", map[string]string{"environment": "export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=protocol.file.allow GIT_CONFIG_VALUE_0=always"})

	const shallowFlags = "-v --depth=1"
	const look = "echo commits:$(git rev-list --count HEAD) files:$(ls */*.txt | tr '\\n' ,)"
	const all, noSub, some = "files:big/c.txt,docs/b.txt,src/a.txt,sub/s.txt,", "files:big/c.txt,docs/b.txt,src/a.txt,\r", "files:docs/b.txt,src/a.txt,\r"
	for _, row := range []struct {
		name, env string
		flags     []string
		want      string
	}{
		{"by default", "", nil, "commits:2 " + all},
		{"shallow, by the template", "", []string{"--git-clone-flags=" + shallowFlags, "--git-fetch-flags=-v --prune --depth=1"}, "commits:1 " + all},
		{"shallow, by the step", "BUILDKITE_GIT_CLONE_FLAGS: " + shallowFlags, nil, "commits:2 " + all},
		{"shallow, by the step, which may", "BUILDKITE_GIT_CLONE_FLAGS: " + shallowFlags, []string{"--checkout-override-mode=none"}, "commits:1 " + all},
		{"sparse, by the template", "", []string{"--git-sparse-checkout-paths=src,docs"}, "commits:2 " + some},
		{"sparse, by the step", "BUILDKITE_GIT_SPARSE_CHECKOUT_PATHS: 'src,docs'", nil, "commits:2 " + some},
		{"no submodules, by the template", "", []string{"--no-git-submodules"}, "commits:2 " + noSub},
		{"no submodules, by the step", "BUILDKITE_GIT_SUBMODULES: 'false'", nil, "commits:2 " + noSub},
		{"none, by the step", "BUILDKITE_SKIP_CHECKOUT: 'true'", nil, "Skipping checkout"},
		{"none, by the step, which may not", "BUILDKITE_SKIP_CHECKOUT: 'true'", []string{"--checkout-override-mode=strict"}, "commits:2 " + all},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := *l
			l.T = t
			id := l.built("file://"+repo, fmt.Sprintf("steps: [{command: %q, env: {%s}}]", look, row.env))[0]
			l.pass(id, append(row.flags, "--hooks-path="+hooks)...)
			l.wantInLog(id, row.want)
		})
	}
}
