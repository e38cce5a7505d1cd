package scheduler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/simulator"
)

func TestEveryJobOnce(t *testing.T) {
	const n = 300
	// What a step says of its pod is in its job's environment, which is a call a job.
	for steps, asked := range map[string]int{"plain": 0, "image": n, "pod": n} {
		t.Run(steps, func(t *testing.T) { everyJobOnce(t, n, "  max-in-flight: 0\n  steps: "+steps+"\n", asked) })
	}
}

func everyJobOnce(t *testing.T, n int, settings string, wantAsked int) {
	inWorld(t, simulator.Config{}, func(w *world) {
		jobs := w.build(n)
		r := w.start(settings)
		w.await("all finished", 30*time.Second, w.finished(n))
		time.Sleep(2 * time.Second)
		r.end(w)
		for _, j := range jobs {
			if got := w.kjobs(j.ID); got != 1 {
				t.Errorf("job %s had %d kjobs, want 1", j.ID, got)
			}
			if s := w.job(j.ID).ExitStatus; s != "0" {
				t.Errorf("job %s ended with %q", j.ID, s)
			}
		}
		if w.writes["create jobs"] != n || w.writes["update jobs"]+w.writes["patch jobs"]+w.writes["delete jobs"] != 0 {
			t.Errorf("writes: %v, want one create for each kjob and nothing else", w.writes)
		}
		if w.writes["try jobs"] != 1 {
			t.Errorf("the template was tried %d times, want once", w.writes["try jobs"])
		}
		calls := 0
		for _, e := range []string{"stacks_reserve", "stacks_states", "stacks_finish", "stacks_notify"} {
			calls += w.sim.Count(e)
		}
		if most := n * 5 / 100; calls > most {
			t.Errorf("%d calls beyond listing for %d jobs, want at most %d: %v", calls, n, most, w.sim.Counts())
		}
		if asked := w.sim.Count("stacks_job"); asked != wantAsked {
			t.Errorf("%d times a job's environment was asked for, want %d", asked, wantAsked)
		}
	})
}

// Two jobs a second, as they come: the kjob is there 130 ms after the job at
// the median, for at most one reserve a job.
func TestLatency(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("  max-in-flight: 0\n")
		time.Sleep(5 * time.Second)
		rng := rand.New(rand.NewPCG(1, 2))
		at := map[string]time.Time{}
		for range 300 {
			time.Sleep(time.Duration(rng.ExpFloat64() * float64(500*time.Millisecond)))
			at["onejob-"+w.build(1)[0].ID] = time.Now()
		}
		w.await("all finished", 30*time.Second, w.finished(300))
		var took []time.Duration
		for name, made := range w.made {
			took = append(took, made.Sub(at[name]))
			if d := made.Sub(at[name]); d > 250*time.Millisecond {
				t.Logf("%s took %s at %s", name, d, at[name].Format("05.000"))
			}
		}
		slices.Sort(took)
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		t.Logf("p50 %s, p99 %s", p50, p99)
		if p50 > 130*time.Millisecond || p99 > 300*time.Millisecond {
			t.Errorf("p50 %s, p99 %s; want at most 130ms and 300ms", p50, p99)
		}
		if got := w.sim.Count("stacks_reserve"); got > 300 {
			t.Errorf("%d reserves for 300 jobs", got)
		}
		r.end(w)
	})
}

// The cap holds from the first job to the last, over a restart too.
func TestMaxInFlight(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.build(100)
		for range 4 {
			r := w.start("  max-in-flight: 7\n")
			time.Sleep(3 * time.Second)
			r.end(w)
		}
		r := w.start("  max-in-flight: 7\n")
		took := w.await("all finished", 2*time.Minute, w.finished(100))
		r.end(w)
		if w.most != 7 {
			t.Errorf("there were up to %d unfinished kjobs, want 7", w.most)
		}
		// A pod takes about 2.2 s from create to a finished kjob, and fifteen
		// waves of seven fit in this only if a freed slot is used at once.
		if took > 50*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestPausedQueue(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.build(50)
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		r := w.start("")
		time.Sleep(20 * time.Second)
		if len(w.made) > 0 || w.sim.Count("stacks_reserve") > 0 {
			t.Errorf("%d kjobs and %d reserves while the queue was paused", len(w.made), w.sim.Count("stacks_reserve"))
		}
		_ = w.sim.SetQueuePaused("default", false)
		w.await("all finished", 30*time.Second, w.finished(50))
		r.end(w)
	})
}

// Dies in mid-burst, after a reserve and before the creates: everything has
// its kjob within thirty seconds, though nobody released the reservations.
func TestDeathAfterReserve(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const n = 200
		w.build(n)
		w.onCreate = func(*batchv1.Job) (error, error) { return unavailable(), nil }
		r := w.start("  max-in-flight: 0\n")
		w.await("reserved", 5*time.Second, func() bool { return w.sim.JobsIn()[simulator.StateReserved] == n })
		r.stop() // and what it holds in memory is gone
		<-r.done
		w.mu.Lock()
		w.onCreate = nil
		w.mu.Unlock()
		r = w.start("  max-in-flight: 0\n")
		w.await("all finished", 30*time.Second, w.finished(n))
		r.end(w)
	})
}

// Creates whose reply is lost, before or after they were applied: one kjob
// each, and no slot is lost.
func TestLostCreates(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		rng := rand.New(rand.NewPCG(3, 4))
		w.onCreate = func(*batchv1.Job) (before, after error) {
			switch rng.IntN(4) {
			case 0:
				return errTorn, nil
			case 1:
				return nil, errTorn
			}
			return nil, nil
		}
		jobs := w.build(60)
		r := w.start("  max-in-flight: 10\n")
		w.await("all finished", 2*time.Minute, w.finished(60))
		time.Sleep(10 * time.Second)
		for _, j := range jobs {
			if got := w.kjobs(j.ID); got != 1 {
				t.Errorf("job %s had %d kjobs, want 1", j.ID, got)
			}
		}
		if w.most > 10 {
			t.Errorf("there were up to %d unfinished kjobs, want 10", w.most)
		}
		q := r.queues["default"]
		if held := q.claims.held(); held != 0 {
			t.Errorf("%d slots are held at the end", held)
		}
		r.end(w)
	})
}

// A kjob that was created and is gone before the cache saw it gives its slot
// back.
func TestUnseenKjob(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.build(1)
		r := w.start("  max-in-flight: 1\n")
		time.Sleep(time.Second)
		synctest.Wait()
		q := r.queues["default"]
		id := someJob
		q.claims.mu.Lock()
		q.claims.open[id] = &claim{job: scheduledJob(), attempt: 1, at: time.Now(), sent: true, created: true}
		q.claims.state(id).reservedUntil = time.Now().Add(time.Hour)
		q.claims.mu.Unlock()
		q.s.creates.AddAfter(item{q.queue, id}, confirmAfter)
		w.await("the slot is free", 10*time.Second, func() bool { return q.claims.held() == 0 })
		r.end(w)
	})
}

// More urgent jobs get the slots though a thousand others are listed before them.
func TestPriorityBeyondThePage(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = pending
		w.build(1500)
		b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, priority: 10, parallelism: 200}]")})
		if err != nil {
			w.Fatal(err)
		}
		r := w.start("  max-in-flight: 1050\n", func(o *Options) { o.Kube = slow{w.kube, takes(time.Second)} })
		w.await("kjobs of the urgent ones", time.Minute, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return !slices.ContainsFunc(b.JobIDs, func(id string) bool { return w.made["onejob-"+id].IsZero() })
		})
		w.mu.Lock()
		if n := len(w.made); n > 400 { // those that were made at the same time
			w.Errorf("%d kjobs were made before those of the 200 urgent jobs", n)
		}
		w.mu.Unlock()
		r.end(w)
	})
}

// A slot that is freed is used at once, however many pages of jobs wait. What is
// more urgent on the last of them is soon the next, and costs no slot any time if
// it was cancelled since it was listed.
func TestBacklog(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		for range 6 {
			w.build(1000)
		}
		r := w.start("  max-in-flight: 10\n")
		made := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) }
		time.Sleep(10 * time.Second)
		was := made()
		time.Sleep(20 * time.Second)
		// A pod takes about 2.2 s from create to a finished kjob.
		if n := made() - was; n < 75 {
			t.Errorf("%d kjobs in 20 s, want eight waves of ten", n)
		}
		b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, priority: 9, parallelism: 40}]")})
		if err != nil {
			t.Fatal(err)
		}
		urgent := func() (n int) {
			for _, id := range b.JobIDs {
				n += w.kjobs(id)
			}
			return n
		}
		w.await("the first of the urgent ones", backlogLife, func() bool { return urgent() > 0 })
		if err := w.sim.CancelBuild(b.Number); err != nil {
			t.Fatal(err)
		}
		had := urgent()
		was = made()
		time.Sleep(6 * time.Second)
		if u, n := urgent()-had, made()-was; u > 9 || n < 20 {
			t.Errorf("in 6 s after they were cancelled, %d kjobs were made of the urgent ones, %d in all", u, n)
		}
		r.end(w)
	})
}
