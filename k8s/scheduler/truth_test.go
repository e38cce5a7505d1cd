package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/simulator"
)

// Runners register in the queue that the stack's registration returned: the documents'
// alias of the default queue is no queue's key.
func TestRunnersServeTheQueuesKey(t *testing.T) {
	inWorld(t, simulator.Config{Queues: []string{"default"}}, func(w *world) {
		r := w.start("", func(o *Options) {
			o.Load = func() (*config.Config, error) {
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\nqueues: [{name: __default__, stack: onejob-x}]\n"), namespace)
			}
		})
		w.build(1)
		w.await("finished", time.Minute, w.finished(1))
		kjobs, err := w.kube.BatchV1().Jobs(namespace).List(w.ctx, metav1.ListOptions{})
		if err != nil || len(kjobs.Items) != 1 {
			t.Fatalf("%d kjobs, %v", len(kjobs.Items), err)
		}
		for _, e := range kjobs.Items[0].Spec.Template.Spec.Containers[0].Env {
			if e.Name == contract.EnvTags && e.Value != "queue=default" {
				t.Errorf("the runner's tags are %q, want the queue's key", e.Value)
			}
		}
		r.end(w)
	})
}

// Where Buildkite takes no reservation that is so short, jobs run all the same.
func TestShortReservationsAreRefused(t *testing.T) {
	inWorld(t, simulator.Config{ReservationMin: 5 * time.Minute, Profile: simulator.Profile{ShortReservation: assumptions.ShortReservationRefused}}, func(w *world) {
		r := w.start("")
		w.build(3)
		w.await("finished", time.Minute, w.finished(3))
		r.end(w)
	})
}

// A scheduler that dies before it has created what it reserved costs those jobs a minute,
// also where Buildkite takes no shorter reservation.
func TestDeathBetweenReserveAndCreate(t *testing.T) {
	inWorld(t, simulator.Config{Profile: simulator.Profile{ShortReservation: assumptions.ShortReservationRefused}}, func(w *world) {
		dead := w.client()
		if _, err := dead.Register(w.ctx, nil); err != nil {
			t.Fatal(err)
		}
		id := contract.JobID(w.build(1)[0].ID)
		if got, err := dead.Reserve(w.ctx, []contract.JobID{id}, reserveFor); len(got) != 1 || err != nil {
			t.Fatalf("reserved %v, %v", got, err)
		}
		r := w.start("")
		w.await("finished", 70*time.Second, w.finished(1))
		r.end(w)
	})
}

// A list that lags tells of jobs that are over as if they were offered: that is nothing
// that anybody is told, and makes no second attempt.
func TestListLags(t *testing.T) {
	inWorld(t, simulator.Config{ListLag: 20 * time.Second}, func(w *world) {
		r := w.start("")
		jobs := w.build(5)
		w.await("finished", 2*time.Minute, w.finished(5))
		time.Sleep(time.Minute)
		for _, j := range jobs {
			if page := w.page(j.ID); len(page) != 0 || w.kjobs(j.ID) != 1 {
				t.Errorf("%d kjobs, and the page says %q; want one and nothing", w.kjobs(j.ID), page)
			}
		}
		r.end(w)
	})
}

// A job that is held back for a limit while its pod waits is waited for, for as long
// as that takes, and runs when it is offered again.
func TestLimitedJobIsWaitedFor(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		n := 0
		w.runs = func(w *world, p *pod) {
			if n++; n == 1 {
				w.sleep(time.Hour, p.kill) // never gets a node
				return
			}
			ran(w, p)
		}
		r := w.start("  pending-timeout: 2m\n")
		job := w.build(1)[0]
		time.Sleep(5 * time.Second)
		if err := w.sim.LimitJob(job.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if got := w.job(job.ID); got.State != simulator.StateLimited || got.StackFinish != nil || len(w.page(job.ID)) != 0 {
			t.Errorf("the job is %s, finish %+v, page %q; want it limited still", got.State, got.StackFinish, w.page(job.ID))
		}
		if err := w.sim.ReleaseJob(job.ID); err != nil {
			t.Fatal(err)
		}
		w.await("finished", time.Minute, w.finished(1))
		if got := w.job(job.ID); got.ExitStatus != "0" {
			t.Errorf("exit status %q, want 0", got.ExitStatus)
		}
		r.end(w)
	})
}

// Jobs of one upload start in its order, whatever their IDs are.
func TestUploadOrder(t *testing.T) {
	inWorld(t, simulator.Config{Seed: 7}, func(w *world) {
		var steps []string
		for i := range 20 {
			steps = append(steps, fmt.Sprintf("{command: c%d}", i))
		}
		if _, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [" + strings.Join(steps, ", ") + "]")}); err != nil {
			t.Fatal(err)
		}
		r := w.start("  max-in-flight: 1\n")
		w.await("finished", 10*time.Minute, w.finished(20))
		jobs := w.sim.Jobs()
		started := slices.IsSortedFunc(jobs, func(a, b simulator.Job) int { return a.StartedAt.Compare(b.StartedAt) })
		if !started {
			for _, j := range jobs {
				t.Errorf("%s started at %s", j.Command, j.StartedAt)
			}
		}
		r.end(w)
	})
}
