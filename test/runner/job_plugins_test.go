package runner_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// TestJobPlugins: plugins work with nothing set but what a runner must be told,
// wherever there is room for them.
func TestJobPlugins(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	plugin := func(name, variable string) string {
		return "file://" + l.repository(name+"-buildkite-plugin", map[string]string{"hooks/environment": "export " + variable + "=world"})
	}
	greeting, also := plugin("greeting", "HELLO"), plugin("also", "ALSO")
	l.git(filepath.Join(l.dir, "greeting-buildkite-plugin"), "tag", "v1.0.0")
	repo := l.repository("repo", map[string]string{"x": "x"})
	nowhere := l.write("nowhere", "a file, so that no folder can be made below it", 0o644)
	for _, tt := range []struct {
		name, plugins string
		flags         []string
		env           string
	}{
		{name: "of a branch", plugins: greeting + "#main"},
		{name: "of a tag", plugins: greeting + "#v1.0.0"},
		{name: "of no version", plugins: greeting},
		{name: "two", plugins: greeting + "#main, " + also + "#main"},
		{name: "cloned anew", plugins: greeting + "#main", flags: []string{"--plugins-always-clone-fresh"}},
		{name: "without a home", plugins: greeting + "#main", env: "HOME="},
		{name: "with a home that can't be written", plugins: greeting + "#main", env: "HOME=" + filepath.Join(nowhere, "home")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			id := l.built(repo, `steps: [{command: "echo hello $HELLO $ALSO", plugins: [`+tt.plugins+`]}]`)[0]
			cmd := l.oursCommand(id, append([]string{l.real()}, tt.flags...)...)
			cmd.Env = append(cmd.Env, tt.env)
			p := l.start(cmd)
			p.wantExit(contract.ExitOK)
			if j := l.job(id); !j.Passed {
				t.Errorf("the job ended with %s", j.ExitStatus)
			}
			want := "hello world"
			if strings.Contains(tt.plugins, "also") {
				want += " world"
			}
			l.wantInLog(id, want)
			l.wantSettled(id)
		})
	}
}
