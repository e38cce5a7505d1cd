package scheduler

import (
	"slices"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// A step's image is asked for once a job, and is the command's container's; a plain
// queue asks for nothing, and its pods are the template's.
func TestImageOfStep(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("- name: plain\n  steps: plain\n")
		step := map[string]string{"BUILDKITE_IMAGE": "node:22"}
		own, plain, none := w.buildOn("default", 10, step), w.buildOn("plain", 10, step), w.buildOn("default", 10, nil)
		w.await("finished", time.Minute, w.finished(30))
		for want, ids := range map[string][]string{"node:22": own, "": append(plain, none...)} {
			for _, id := range ids {
				if got := w.containerImage(id, contract.CommandContainer); got != want {
					t.Errorf("job %s has a command container of image %q, want %q", id, got, want)
				}
			}
		}
		if n := w.sim.Count("stacks_job"); n != len(own)+len(none) {
			t.Errorf("get job was called %d times for %d jobs", n, len(own)+len(none))
		}
		r.end(w)
	})
}

// Without an answer there is no pod, which would be the wrong one; and then the right one.
func TestImageIsWaitedFor(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("")
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Status: 503, Until: 20 * time.Second})
		ids := w.buildOn("default", 1, map[string]string{"BUILDKITE_IMAGE": "node:22"})
		time.Sleep(15 * time.Second)
		if n := w.kjobs(ids[0]); n != 0 {
			t.Errorf("%d kjobs before the step's image is known", n)
		}
		w.await("finished", 2*time.Minute, w.finished(1))
		if got := w.containerImage(ids[0], contract.CommandContainer); got != "node:22" {
			t.Errorf("the command's image is %q", got)
		}
		r.end(w)
	})
}

// containerImage is that of a container of a job's last kjob, empty if it has none.
func (w *world) containerImage(id, name string) string {
	k := w.kjobOf(id)
	if k == nil {
		return "no kjob"
	}
	for _, c := range k.Spec.Template.Spec.Containers {
		if c.Name == name {
			return c.Image
		}
	}
	return ""
}

// While Buildkite takes its time to tell an environment, the queue may be paused: what is
// checked before a create is checked after the answer.
func TestPausedWhileTheEnvironmentComes(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("")
		time.Sleep(time.Second)
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Delay: 8 * time.Second})
		id := w.build(1)[0].ID
		w.await("the question", 10*time.Second, func() bool { return w.sim.Count("stacks_job") == 1 })
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Second)
		if n := w.kjobs(id); n != 0 {
			t.Errorf("%d Kubernetes Jobs were made in a paused queue", n)
		}
		if err := w.sim.SetQueuePaused("default", false); err != nil {
			t.Fatal(err)
		}
		w.await("the job's end", 2*time.Minute, w.finished(1))
		if n := w.kjobs(id); n != 1 {
			t.Errorf("%d Kubernetes Jobs, want 1", n)
		}
		r.end(w)
	})
}

// The first job doesn't wait for the environment of the last.
func TestFirstDoesNotWaitForAllEnvironments(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("")
		time.Sleep(time.Second)
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Delay: 200 * time.Millisecond})
		jobs := w.build(100)
		w.await("a kjob", 10*time.Second, func() bool {
			return slices.ContainsFunc(jobs, func(j simulator.Job) bool { return w.kjobs(j.ID) > 0 })
		})
		if n := w.sim.Count("stacks_job"); n == 0 || n > len(jobs)/2 {
			t.Errorf("%d environments of %d were asked for when the first kjob was there", n, len(jobs))
		}
		w.await("the jobs' end", 2*time.Minute, w.finished(len(jobs)))
		r.end(w)
	})
}
