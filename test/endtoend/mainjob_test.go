package endtoend

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
)

// pipeline has 34 jobs, one of which is retried.
const pipeline = `
steps:
  - label: build
    key: build
    command: ./build.sh
    parallelism: 16
    artifact_paths: out/*
  - label: fails once
    command: test "$BUILDKITE_RETRY_COUNT" = 1
    retry: {automatic: [{exit_status: 1, limit: 1}]}
  - label: fails
    key: fails
    command: exit 3
    soft_fail: true
  - wait
  - label: test
    key: test
    parallelism: 15
    command: buildkite-agent artifact download out/0.txt . --step build && test $(wc -c < out/0.txt) = 100000 && id -u && echo tested
  - wait
  - label: report
    command: buildkite-agent annotate "all of it ran" && buildkite-agent meta-data set done yes
`

// TestMainJob: a build, a kjob and a pod for each job, results and complete logs
// at Buildkite, nothing left at the end.
func TestMainJob(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	sim := on.Simulator
	kjobs, pods := watch(t, ctx)
	build, err := sim.CreateBuild(simulator.BuildRequest{
		Pipeline: []byte(pipeline), Repo: on.URL + "git/e2e.git", Message: "the main job",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("the build doesn't end: %v\n%s", err, table())
	}
	done, _ := sim.Build(build.Number)
	if done.State != simulator.BuildPassed || len(done.Annotations) != 1 || done.MetaData["done"] != "yes" {
		t.Errorf("the build %s, %d annotations, meta-data %v\n%s", done.State, len(done.Annotations), done.MetaData, table())
	}
	if len(done.JobIDs) != 35 {
		t.Errorf("%d jobs, want 34 and a retry", len(done.JobIDs))
	}
	for _, id := range done.JobIDs {
		job, _ := sim.Job(id)
		want := "0"
		switch {
		case job.RetriedBy != "":
			want = "1"
		case job.StepKey == "fails":
			want = "3"
		}
		log, _ := sim.Log(id)
		log = bytes.ReplaceAll(log, []byte("\r"), nil)
		if job.ExitStatus != want || !job.LogComplete || len(log) == 0 {
			t.Errorf("%s (%s): exit status %q, want %q; log complete: %v, %d bytes", job.Label, id, job.ExitStatus, want, job.LogComplete, len(log))
		}
		if job.StepKey == "build" {
			for i := 1; i <= 200; i++ {
				if n := bytes.Count(log, fmt.Appendf(nil, "line %d of job %d\n", i, job.ParallelJob)); n != 1 {
					t.Errorf("%s %d: line %d is there %d times in\n%s", job.Label, job.ParallelJob, i, n, log[max(0, len(log)-1500):])
					break
				}
			}
		}
		if job.StepKey == "test" && !bytes.Contains(log, []byte("1000\n")) {
			t.Errorf("the test didn't run as the template's user")
		}
	}
	if n := len(sim.Artifacts(build.Number)); n != 16 {
		t.Errorf("%d artifacts, want 16", n)
	}
	settled(t)

	// One job, one kjob, one pod.
	clean(t, ctx)
	for _, id := range done.JobIDs {
		if got := kjobs.names(id); len(got) != 1 || got[0] != "onejob-"+id {
			t.Errorf("job %s had the kjobs %q", id, got)
		}
		if got := pods.names(id); len(got) != 1 {
			t.Errorf("job %s had the pods %q", id, got)
		}
	}
}

// TestCanceledBuild: what waits is never run, what runs is stopped, and the
// cluster is empty soon after.
func TestCanceledBuild(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	sim := on.Simulator
	build, err := sim.CreateBuild(simulator.BuildRequest{
		Pipeline: []byte("steps:\n  - command: sleep 600\n    parallelism: 20\n    env: {BUILDKITE_SKIP_CHECKOUT: \"true\"}\n"), Repo: on.URL + "git/e2e.git",
	})
	if err != nil {
		t.Fatal(err)
	}
	running := func() (n int) {
		for _, id := range build.JobIDs {
			if j, _ := sim.Job(id); j.State == simulator.StateRunning {
				n++
			}
		}
		return n
	}
	if err := sim.Wait(ctx, func() bool { return running() >= 4 }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	if err := sim.CancelBuild(build.Number); err != nil {
		t.Fatal(err)
	}
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	started := 0
	for _, id := range build.JobIDs {
		job, _ := sim.Job(id)
		if job.State != simulator.StateCanceled {
			t.Errorf("job %s is %s", id, job.State)
		}
		if !job.StartedAt.IsZero() {
			started++
		}
	}
	if started > 8 {
		t.Errorf("%d jobs were started, more than max-in-flight", started)
	}
	settled(t)
	clean(t, ctx)
}

// settled fails the test if the ledger has anything against what happened.
func settled(t *testing.T) {
	t.Helper()
	for _, v := range on.Simulator.Violations() {
		t.Errorf("the ledger: %+v", v)
	}
	for _, j := range on.Simulator.Jobs() {
		if j.State.Held() {
			t.Errorf("job %s is still held: %s", j.ID, j.State)
		}
	}
}

// clean waits until no kjob and no job's pod is left: the TTL has come.
func clean(t *testing.T, ctx context.Context) {
	t.Helper()
	only := metav1.ListOptions{LabelSelector: contract.LabelJobID}
	for {
		kjobs, err := on.Cluster.Client().BatchV1().Jobs(fixture.Namespace).List(ctx, only)
		if err != nil {
			t.Fatal(err)
		}
		pods, err := on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, only)
		if err != nil {
			t.Fatal(err)
		}
		if len(kjobs.Items)+len(pods.Items) == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d kjobs and %d pods are left", len(kjobs.Items), len(pods.Items))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// table is the state of every job, for a failure's message.
func table() string {
	var b strings.Builder
	for _, j := range on.Simulator.Jobs() {
		fmt.Fprintf(&b, "%s %-12s %-10s %s %s\n", j.ID, j.Label, j.State, j.ExitStatus, j.SignalReason)
	}
	return b.String()
}
