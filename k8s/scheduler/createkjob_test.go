package scheduler

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// A step whose pod can't be made ends its own job, and no other.
func TestBadPodEndsItsJobAlone(t *testing.T) {
	var mounts, sidecars []string
	for i := range 60 {
		mounts = append(mounts, fmt.Sprintf(`{"name":"a","mountPath":"/%d%s"}`, i, strings.Repeat("x", 300)))
	}
	for range 30 {
		sidecars = append(sidecars, `{"image":"a"}`)
	}
	for name, plugin := range map[string]string{
		"what can't be written":  `{"podSpec":{"volumes":[{"name":"x","ephemeral":{"volumeClaimTemplate":{"metadata":{"creationTimestamp":"9999-12-31T23:59:59-01:00"},"spec":{}}}}]}}`,
		"what etcd doesn't take": `{"podSpec":{"volumes":[{"name":"a","emptyDir":{}}],"containers":[{"image":"a"}]},"extraVolumeMounts":[` + strings.Join(mounts, ",") + `],"sidecars":[` + strings.Join(sidecars, ",") + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				bad := w.buildOn("default", 3, map[string]string{"BUILDKITE_PLUGINS": `[{"kubernetes":` + plugin + `}]`})
				r := w.start("  steps: pod\n  max-in-flight: 2\n")
				w.await("the bad ones end", time.Minute, func() bool { return w.job(bad[0]).StackFinish != nil && w.job(bad[2]).StackFinish != nil })
				w.buildOn("default", 10, nil)
				w.await("the others end", 5*time.Minute, w.finished(10+len(bad)))
				for _, id := range bad {
					if n := w.kjobs(id); n != 0 {
						t.Errorf("%d Kubernetes Jobs", n)
					}
				}
				r.end(w)
			})
		})
	}
}

// A panic in the making of one job's pod is that job's end.
func TestPanicIsOneJobs(t *testing.T) {
	var log logs
	q := &queue{name: "default", s: &Scheduler{metrics: NewMetrics()}, log: slog.New(slog.NewTextHandler(&log, nil))}
	k, err := q.newKjob(claim{job: stacks.Job{ID: contract.SampleJobID}, attempt: 1}, &kjob.Template{})
	if err == nil || !strings.Contains(err.Error(), "an error of its own") {
		t.Errorf("got %v, %v", k, err)
	}
	if log.count("createkjob.go") == 0 {
		t.Error("the log has no stack")
	}
}

// Whatever Buildkite answers to the question what a job's pod is, that job ends or makes
// room, and the queue goes on.
func TestEnvRefusedForSomeJobs(t *testing.T) {
	for _, status := range []int{403, 404, 422, 500} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				bad := w.buildOn("default", 3, nil)
				for _, id := range bad {
					w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", JobID: id, Status: status})
				}
				r := w.start("  max-in-flight: 2\n  pending-timeout: 2m\n")
				time.Sleep(10 * time.Minute)
				ended := 0
				for _, id := range bad {
					if w.job(id).StackFinish != nil {
						ended++
					}
					over := w.job(id).StackFinish
					if status != 404 && (over == nil || !strings.Contains(over.Detail, "doesn't give the job's environment")) {
						t.Errorf("job %s: %s, %+v", id, w.job(id).State, over)
					}
				}
				w.buildOn("default", 10, nil)
				w.await("the others end", 5*time.Minute, w.finished(10+ended))
				r.end(w)
			})
		})
	}
}

// An outage of an hour is no fault of any job.
func TestEnvOutageEndsNoJob(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("  max-in-flight: 2\n  pending-timeout: 2m\n")
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_job", Status: 503, Until: time.Hour})
		w.buildOn("default", 3, nil)
		time.Sleep(time.Hour)
		w.await("all", time.Minute, w.finished(3))
		r.end(w)
	})
}
