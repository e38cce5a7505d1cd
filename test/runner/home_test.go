package runner_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// TestHomeOfTheImage: the job's home has what the image's has. An image in a pod is test/e2e's matter.
func TestHomeOfTheImage(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Config{})
	l.write("image/.gitconfig", "[user]\nname = ci\n", 0o644)
	l.write("image/.ssh/known_hosts", "the image's\n", 0o644)
	l.write("volume/.ssh/known_hosts", "what was mounted\n", 0o644)
	image, volume := filepath.Join(l.dir, "image"), filepath.Join(l.dir, "volume")
	id := l.command(`git config user.name; cat ~/.ssh/known_hosts; echo "<$ONEJOB_IMAGE_HOME>"; echo new >> ~/.gitconfig`)
	cmd := l.oursCommand(id)
	cmd.Env = append(cmd.Env, "HOME="+volume, "GIT_CONFIG_GLOBAL="+volume+"/.gitconfig", contract.EnvImageHome+"="+image)
	p := l.start(cmd)
	p.wantExit(contract.ExitOK)
	l.wantJob(id, "0", "", "")
	l.wantInLog(id, "ci", "what was mounted", "<>")
	for _, want := range []string{"a part of the image's home is hidden", ".ssh/known_hosts: another is there", `"files":1,`} {
		if !strings.Contains(p.output(), want) {
			t.Errorf("the runner's log doesn't say %s:\n%s", want, p.output())
		}
	}
	if b, err := os.ReadFile(filepath.Join(image, ".gitconfig")); err != nil || strings.Contains(string(b), "new") {
		t.Errorf("the image's file is %q, %v", b, err)
	}
}
