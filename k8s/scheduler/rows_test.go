package scheduler

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/k8s/status"
	"github.com/onejob-dev/onejob/simulator"
)

// Where an attempt's pod is gone, its row has what onejob saw, and not only that Kubernetes
// counted a failure: as long as the scheduler waits, and when the next attempt is there.
func TestRowsOfAnEvictedAttempt(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			p.start()
			if p.attempt > 5 {
				slowly(0, 0, time.Hour)(w, p)
				return
			}
			w.sleep(time.Second, p.kill)
			p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped, Received: "SIGTERM", Reason: "evicted"})
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
		}
		r := w.start("")
		job := w.build(1)[0]
		w.await("six attempts", 10*time.Minute, func() bool { return w.kjobs(job.ID) == 6 })
		time.Sleep(10 * time.Second)
		_, c := r.page(t, "")
		rows, err := operate.List(w.ctx, w.kube, namespace, "")
		if err != nil || len(rows) != 6 || len(c.Jobs) != 6 {
			t.Fatalf("%d rows, %d on the page, %v", len(rows), len(c.Jobs), err)
		}
		const want = "stopped, attempt 2 follows: attempt 1 was stopped before it acquired the job: evicted"
		if row := rows[0]; row.Phase != "ended" || row.Reason != want {
			t.Errorf("onejob jobs: %s: %s, want %s", row.Phase, row.Reason, want)
		}
		for _, j := range c.Jobs {
			if j.Attempt == 1 && (j.Phase != "ended" || j.Reason != want) {
				t.Errorf("the page: %s: %s, want %s", j.Phase, j.Reason, want)
			}
			if strings.Contains(j.Reason, "BackoffLimitExceeded") {
				t.Errorf("attempt %d: %s", j.Attempt, j.Reason)
			}
		}
		if a := w.explain(job.ID, true).Attempts; len(a) != 6 || a[0].Reason != want {
			t.Errorf("onejob explain: %+v", a)
		}
		r.end(w)
	})
}

// Before the next attempt is made, and where none is, only the scheduler knows.
func TestRowsOfALastAttempt(t *testing.T) {
	for _, tt := range []struct {
		name, phase, reason string
		end                 func(w *world, p *pod)
	}{
		{"it waits for the next", "ended", "stopped: attempt 5 was stopped before it acquired the job: evicted", func(_ *world, p *pod) {
			p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped, Received: "SIGTERM", Reason: "evicted"})
		}},
		{"another agent has the job", "ended", "rejected (BackoffLimitExceeded)", func(w *world, p *pod) {
			if _, err := w.acquire(p.id); err != nil {
				w.Error(err)
			}
			p.end(contract.ExitRejected, "Error", &contract.Message{Outcome: contract.OutcomeRejected})
		}},
		{"its result was reported, and its pod's exit status is the job's", "done", "", func(w *world, p *pod) {
			a, err := w.acquire(p.id)
			if err != nil {
				w.Error(err)
				return
			}
			a.finish(3)
			three := 3
			p.end(3, "Error", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &three})
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					p.start()
					tt.end(w, p)
					_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
				}
				r := w.start("")
				job := w.build(1)[0]
				last := "onejob-" + job.ID
				if strings.Contains(tt.reason, "attempt 5") {
					last += "-5"
				}
				w.await("it is over", 10*time.Minute, func() bool {
					o, err := w.kube.Tracker().Get(jobsGVR, namespace, last)
					return err == nil && len(o.(*batchv1.Job).Status.Conditions) > 0
				})
				time.Sleep(time.Second)
				_, c := r.page(t, "")
				j := c.Jobs[slices.IndexFunc(c.Jobs, func(j status.Job) bool { return j.Attempt == len(c.Jobs) })]
				if j.Phase != tt.phase || j.Reason != tt.reason {
					t.Errorf("the page: attempt %d: %s: %s, want %s: %s", j.Attempt, j.Phase, j.Reason, tt.phase, tt.reason)
				}
				rows, err := operate.List(w.ctx, w.kube, namespace, contract.JobID(job.ID))
				if err != nil || len(rows) != len(c.Jobs) {
					t.Fatal(rows, err)
				}
				const unseen = "the pod failed or was deleted, and nobody saw why (BackoffLimitExceeded)"
				if row := rows[len(rows)-1]; row.Phase != "failed" || row.Reason != unseen {
					t.Errorf("onejob jobs: %s: %s", row.Phase, row.Reason)
				}
				r.end(w)
			})
		})
	}
}
