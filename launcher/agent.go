package launcher

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/buildkite/agent/v3/version"
	"github.com/buildkite/shellwords"
)

// CheckAgent compares the agent that is linked into onejob-run with the one that it
// starts as the bootstrap. Another major version is refused, because each major version
// has its own variables and files between the two. Another minor version gives a
// warning. A bootstrap script that isn't the agent is not checked.
func (o *Options) CheckAgent() (warning string, err error) {
	words, err := shellwords.Split(o.BootstrapScript)
	if err != nil || len(words) == 0 || filepath.Base(words[0]) != "buildkite-agent" {
		return "", nil //nolint:nilerr // Validate says so
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return "", nil //nolint:nilerr // Validate says so
	}
	ours := readVersion("v" + version.Version())
	theirs := agentVersion(path)
	const remedy = "put the one of the same build there (onejob-agent --version names it)"
	switch {
	case theirs.major == "":
		return fmt.Sprintf("%s doesn't say which version it is; jobs are run for agent %s: %s", path, ours, remedy), nil
	case theirs.major != ours.major:
		return "", fmt.Errorf("%s is agent %s, and onejob-run is made for agent %s: jobs don't work with both; %s", path, theirs, ours, remedy)
	case theirs.minor != ours.minor:
		return fmt.Sprintf("%s is agent %s, and onejob-run is made for agent %s: %s", path, theirs, ours, remedy), nil
	}
	return "", nil
}

// agentRelease is a version of the agent, as far as it is known.
type agentRelease struct{ major, minor, text string }

func (r agentRelease) String() string { return r.text }

var (
	releaseText = regexp.MustCompile(`^v(\d+)\.(\d+)\.\d+`)
	// pseudo is a commit's version: its number is the last tag's, of any branch.
	pseudo    = regexp.MustCompile(`\d{14}-[0-9a-f]{12}`)
	agentPath = regexp.MustCompile(`^github\.com/buildkite/agent/v(\d+)$`)
)

func readVersion(text string) agentRelease {
	m := releaseText.FindStringSubmatch(text)
	if m == nil || pseudo.MatchString(text) {
		return agentRelease{}
	}
	return agentRelease{m[1], m[2], text}
}

// agentVersion is the version of the agent at path. What Go's linker left in the
// file takes a millisecond to read; to start the agent takes 70.
func agentVersion(path string) agentRelease {
	info, err := buildinfo.ReadFile(path)
	if err == nil {
		if r := readVersion(info.Main.Version); r.major != "" && agentPath.MatchString(info.Path) {
			return r
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, path, "--version").Output() //nolint:errcheck // then it says nothing
	if fields := strings.Fields(string(out)); len(fields) > 2 && fields[1] == "version" {
		if r := readVersion("v" + fields[2]); r.major != "" {
			return r
		}
	}
	if info != nil {
		if m := agentPath.FindStringSubmatch(info.Path); m != nil {
			return agentRelease{major: m[1], text: "v" + m[1]}
		}
	}
	return agentRelease{}
}
