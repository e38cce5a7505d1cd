package endtoend

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// anyUID is a queue whose pods differ from the default's in the user alone.
const anyUID = `- name: any-uid
  steps: pod
  max-in-flight: 8
  template:
    inline:
      apiVersion: batch/v1
      kind: Job
      spec:
        ttlSecondsAfterFinished: 20
        template:
          spec:
            securityContext: {runAsUser: 12345, runAsGroup: 12345, fsGroup: 12345}
            containers: [{name: agent, image: localhost/onejob-agent:dev, imagePullPolicy: Never, resources: {requests: {cpu: 10m, memory: 32Mi}}}]
`

// plugins are the hooks of each plugin that the steps of testdata/promises use.
func plugins() map[string]map[string]string {
	all := map[string]string{}
	for _, hook := range []string{"environment", "pre-checkout", "post-checkout", "pre-command", "post-command", "pre-artifact", "post-artifact", "pre-exit"} {
		all[hook] = "echo said-by-" + hook
	}
	return map[string]map[string]string{
		"greeting": {"environment": "export HELLO=world"},
		"also":     {"environment": "export ALSO=$BUILDKITE_PLUGIN_ALSO_WORD"},
		"hooks":    all,
		"command":  {"command": "echo said-by-the-command-hook"},
		"checkout": {"checkout": "echo said-by-the-checkout-hook > made-by-the-hook"},
	}
}

// publishPromises makes the repositories of TestPromises.
func publishPromises(ctx context.Context, dir string) error {
	err := repository(ctx, dir, "promises", func(work string) error {
		return os.CopyFS(work, os.DirFS(filepath.Join("testdata", "promises")))
	})
	for name, hooks := range plugins() {
		if err != nil {
			return err
		}
		err = repository(ctx, dir, name+"-buildkite-plugin", func(work string) error {
			if err := os.Mkdir(filepath.Join(work, "hooks"), 0o755); err != nil {
				return err
			}
			for hook, script := range hooks {
				if err := os.WriteFile(filepath.Join(work, "hooks", hook), []byte("#!/bin/bash\n"+script+"\n"), 0o755); err != nil {
					return err
				}
			}
			return os.WriteFile(filepath.Join(work, "plugin.yml"), []byte("name: "+name+"\n"), 0o644)
		})
	}
	return err
}

// TestPromises: what a pipeline uses works in a pod of the shipped default, in
// which nothing is set for the test, for the template's user and any other; and
// what doesn't is refused by name.
func TestPromises(t *testing.T) {
	for queue, uid := range map[string]string{"default": "1000", "any-uid": "12345"} {
		t.Run(queue, func(t *testing.T) {
			t.Parallel()
			promises(t, queue, uid)
		})
	}
}

func promises(t *testing.T, queue, uid string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	sim := on.Simulator
	build := create(t, simulator.BuildRequest{
		Repo: on.URL + "git/promises.git", Queue: queue,
		Env: map[string]string{"REPO": on.URL + "git", "QUEUE": queue, "WANT_UID": uid},
	}, map[string]any{"label": "upload", "command": "buildkite-agent pipeline upload"})
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	build, _ = sim.Build(build.Number)
	if build.State != simulator.BuildPassed || len(build.JobIDs) != 10 {
		t.Errorf("the build %s with %d jobs, want it passed with 10", build.State, len(build.JobIDs))
	}
	says := map[string][]string{
		"greet":    {"hello world"},
		"versions": {"hello world, also"},
		"hooks": {
			"said-by-environment", "said-by-pre-checkout", "said-by-post-checkout", "said-by-pre-command", "said-by-vendored-pre-command",
			"said-by-the-command", "said-by-post-command", "said-by-pre-artifact", "said-by-post-artifact", "said-by-pre-exit",
		},
		"command-hook":         {"said-by-the-command-hook"},
		"checkout-hook":        {"said-by-the-checkout-hook"},
		"everything (updated)": {"this was [REDACTED], the password is [REDACTED]", "finished with everything"},
		"uploaded":             {"said-by-the-uploaded"},
		"image":                {"BusyBox v1.", uid, "What the jobs of promises_test.go check out"},
		"own-pod":              {"in-another-image", "BusyBox v1.", "What the jobs of promises_test.go check out"},
	}
	for _, id := range build.JobIDs {
		job, _ := sim.Job(id)
		log, _ := sim.Log(id)
		rest := log
		for _, want := range says[job.Label] {
			_, after, found := bytes.Cut(rest, []byte(want))
			if !found {
				t.Errorf("the log of %s (exit status %s) doesn't say %q after what comes before it:\n%s", job.Label, job.ExitStatus, want, log)
				break
			}
			rest = after
		}
		if job.ExitStatus != "0" {
			t.Errorf("%s: exit status %s\n%s", job.Label, job.ExitStatus, log)
		}
	}
}
