package chaos

import (
	"net/http"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// The script itself, run by a shell: what it tells is counted, a run once
// however often it says so, and its exit status is the wanted one.
func TestScriptIsCounted(t *testing.T) {
	c, err := count("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.server.Close()
	builds, err := work(1, 1, time.Second, c.address)
	if err != nil || len(builds) != 1 {
		t.Fatal(builds, err)
	}
	run := func() {
		t.Helper()
		cmd := exec.Command("bash", "-e", "-c", script)
		cmd.Env = append(os.Environ(), "BUILDKITE_JOB_ID=j", "HOSTNAME=pod", "CHAOS_HOST=127.0.0.1", "CHAOS_PORT="+c.address[len("127.0.0.1:"):], "CHAOS_SECONDS=0", "CHAOS_EXIT=3")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 3 {
			t.Fatalf("%v, want exit status 3\n%s", err, out)
		}
	}
	run()
	runs := c.of("j")
	if len(runs) != 1 || !runs[0].Ended || runs[0].Pod != "pod" {
		t.Fatalf("after one run: %+v", runs)
	}
	resp, err := http.Get("http://" + c.address + "/began/j/pod/" + runs[0].ID)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if again := c.of("j"); !slices.Equal(again, runs) {
		t.Errorf("a repeat made %+v of %+v", again, runs)
	}
	run()
	if runs := c.of("j"); len(runs) != 2 {
		t.Errorf("after two runs: %+v", runs)
	}
}
