package release

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A dry run of this machine's platform: it has the scheduler that the other tests have
// built, and small programs in the runner's image.
func TestDryRun(t *testing.T) {
	if testing.Short() {
		t.Skip("debootstrap is left out by -short")
	}
	o := Options{Version: "dev", Platforms: []string{runtime.GOARCH}, Out: t.TempDir(), StandIns: map[string]string{
		"./cmd/onejob-run": "./test/cluster/image/stub", "./cmd/onejob-step": "./test/cluster/image/stub", "github.com/buildkite/agent/v3": "./test/cluster/image/stub",
	}}
	var said strings.Builder
	if err := DryRun(t.Context(), o, &said); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"onejob:dev, :dev-agent3", "onejob-agent:dev, :dev-agent3", "linux/" + runtime.GOARCH, "SBOM", "charts/onejob:0.0.0-gdev", "notes.md", "Nothing is signed"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("it doesn't say %q", want)
		}
	}
	for _, file := range []string{"images/onejob/oci-layout", "images/onejob-agent/index.json", "images/onejob-agent-" + runtime.GOARCH + ".spdx.json", "onejob-0.0.0-gdev.tgz", "notes.md"} {
		if _, err := os.Stat(filepath.Join(o.Out, file)); err != nil {
			t.Error(err)
		}
	}
}

func TestTags(t *testing.T) {
	if diff := cmp.Diff([]string{"v1.4.0", "v1.4.0-agent3"}, Tags("v1.4.0", "v3.138.1")); diff != "" {
		t.Error(diff)
	}
}

func TestChartVersion(t *testing.T) {
	for version, want := range map[string]string{"v1.2.3": "1.2.3", "v1.2.3-4-gabcdef0": "1.2.3-4-gabcdef0", "0123456": "0.0.0-g0123456", "fd6d112-dirty": "0.0.0-gfd6d112-dirty"} {
		if got := ChartVersion(version); got != want {
			t.Errorf("%s: got %s, want %s", version, got, want)
		}
	}
}

func TestNotes(t *testing.T) {
	got := byArea("v1", []string{"decide: retry", "endtoend, docs: a row", "a sentence with: a colon", "decide: retry", "decide: two", ""})
	want := "# onejob v1\n\n## decide\n\n- retry\n- two\n\n## endtoend, docs\n\n- a row\n\n## other\n\n- a sentence with: a colon\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}
