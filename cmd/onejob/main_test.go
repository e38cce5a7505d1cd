package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestInterspersed(t *testing.T) {
	for in, want := range map[string]string{
		"onejob":                                "onejob",
		"onejob --help":                         "onejob --help",
		"onejob jobs -w":                        "onejob jobs -w",
		"onejob reacquire A --wait -f c.yaml B": "onejob reacquire --wait -f c.yaml A B",
		"onejob reacquire A --config=c.yaml":    "onejob reacquire --config=c.yaml A",
		"onejob reacquire A -- --wait":          "onejob reacquire A -- --wait",
		"onejob nonsense A --wait":              "onejob nonsense A --wait",
	} {
		if got := interspersed(newApp(), strings.Fields(in)); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: got %s, want %s", in, strings.Join(got, " "), want)
		}
	}
}

func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	app := newApp()
	var out bytes.Buffer
	app.Writer = &out
	return out.String(), exitCode(app.RunContext(t.Context(), interspersed(app, append([]string{"onejob"}, args...))))
}

func TestExitCodes(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	good := filepath.Join(t.TempDir(), "good.yaml")
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	for path, text := range map[string]string{good: "queues: [{name: default}]", bad: "queues: [{name: default, template: {inline: {spec: {restartPolicy: Always, containers: []}}}}]"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args string
		want int
	}{
		{"lint -f " + good, 0}, {"lint -f " + bad, 2}, {"lint --schema", 0}, {"lint", 2}, {"lint --nope", 2},
		{"render -f " + good, 0}, {"render -f " + good + " --queue other", 2}, {"render -f " + good + " -o nonsense", 2},
		{"explain nonsense", 2}, {"jobs", 2}, {"reacquire -f " + good + " 018f0000-0000-7000-8000-00000000000a", 2}, {"cancel", 2},
	} {
		if _, got := run(t, strings.Fields(tt.args)...); got != tt.want {
			t.Errorf("onejob %s: exit code %d, want %d", tt.args, got, tt.want)
		}
	}
}
