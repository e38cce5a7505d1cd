package scheduler

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
)

// uses is a pod whose job uses that and ends well.
func uses(u contract.Use) func(w *world, p *pod) {
	return func(w *world, p *pod) {
		p.start()
		a, err := w.acquire(p.id)
		if err != nil {
			w.Error(err)
			return
		}
		w.sleep(time.Minute, p.kill)
		a.finish(0)
		zero := 0
		p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero, Use: &u})
	}
}

var (
	little = contract.Use{MemoryPeak: 1 << 30, MemoryLimit: 2 << 30, CPUSeconds: 9}
	tooFew = contract.Use{MemoryPeak: 1 << 30, MemoryLimit: 2 << 30, CPULimit: .5, ThrottledSeconds: 30}
)

// A job that had enough costs no request at its end unless its queue says so, and one that
// had too little one. What a kjob then says is read when its pod is gone.
func TestUsedNote(t *testing.T) {
	for _, tt := range []struct {
		setting string
		use     contract.Use
		want    int
	}{
		{"", little, 0},
		{"", tooFew, 1},
		{"  annotate-usage: verdicts\n", little, 0},
		{"  annotate-usage: all\n", little, 1},
		{"  annotate-usage: none\n", tooFew, 0},
	} {
		t.Run(strings.TrimSpace(tt.setting), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				const jobs = 3
				w.runs = uses(tt.use)
				id := w.build(jobs)[0].ID
				for range 2 { // the next leader has nothing to add
					r := w.start(tt.setting)
					w.await("finished", 2*time.Minute, w.finished(jobs))
					time.Sleep(time.Minute)
					r.end(w)
				}
				if n := w.askedFor("patch jobs"); n != jobs*tt.want {
					t.Errorf("%d requests, want %d", n, jobs*tt.want)
				}
				w.dropPods()
				rows, err := operate.List(w.ctx, w.kube, namespace, "")
				if err != nil || len(rows) != jobs {
					t.Fatal(rows, err)
				}
				runs := 0
				for _, s := range operate.Sizes(rows) {
					runs += s.Runs
				}
				if runs != jobs*tt.want {
					t.Errorf("onejob sizes counts %d runs, want %d", runs, jobs*tt.want)
				}
				lines := ""
				for _, l := range w.explain(id, false).Lines {
					lines += l.Who + ": " + l.What + "\n"
				}
				if told := strings.Contains(lines, "runner: container agent used 1 GiB of 2 GiB of memory at its peak"); told != (tt.want == 1) {
					t.Errorf("the story is\n%s", lines)
				}
			})
		})
	}
}

// dropPods is PodGC: their nodes are gone.
func (w *world) dropPods() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.pods {
		_ = w.kube.Tracker().Delete(podsGVR, namespace, name+"-x")
	}
}

// An annotation whose reply is lost is sent again; one that is refused isn't, and nothing
// else of the job waits for it.
func TestUsedNoteIsNotWritten(t *testing.T) {
	for _, tt := range []struct {
		name    string
		err     error
		asked   int
		written bool
	}{
		{"its reply is lost", errTorn, 2, true},
		{"the Role is of an earlier release", apierrors.NewForbidden(jobsGVR.GroupResource(), "x", errTorn), 1, false},
		{"the kjob is gone", apierrors.NewNotFound(jobsGVR.GroupResource(), "x"), 1, false},
		{"its name is another's by now", conflict("x"), 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = uses(tooFew)
				failed := false
				w.kube.PrependReactor("patch", "jobs", func(a k8stesting.Action) (bool, runtime.Object, error) {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.writes["patch"]++
					patch := a.(k8stesting.PatchAction)
					if patch.GetPatchType() != types.MergePatchType || !strings.Contains(string(patch.GetPatch()), `"uid":"uid-`) {
						t.Errorf("the patch is %s: another kjob of its name could get it", patch.GetPatch())
					}
					if failed {
						return false, nil, nil
					}
					failed = true
					return true, nil, tt.err
				})
				job := w.build(1)[0]
				r := w.start("")
				w.await("finished", 2*time.Minute, w.finished(1))
				time.Sleep(5 * time.Minute)
				if page := w.page(job.ID); len(page) != 1 {
					t.Errorf("the page says %q", page)
				}
				r.end(w)
				if n := w.askedFor("patch"); n != tt.asked {
					t.Errorf("%d requests, want %d", n, tt.asked)
				}
				o, err := w.kube.Tracker().Get(jobsGVR, namespace, "onejob-"+job.ID)
				if err != nil {
					t.Fatal(err)
				}
				if got := o.(*batchv1.Job).Annotations[contract.AnnotationUsed] != ""; got != tt.written {
					t.Errorf("written: %v, want %v", got, tt.written)
				}
			})
		})
	}
}

// A leader that died before it wrote leaves it to the next. A container that the kernel
// killed as a whole left no numbers, and that it was killed is what counts.
func TestUsedNoteOfTheNextLeader(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			p.start()
			if a, err := w.acquire(p.id); err == nil {
				w.sleep(time.Minute, p.kill)
				p.end(137, "OOMKilled", nil)
				a.finish(-1)
			}
		}
		job := w.build(1)[0]
		r := w.start("  annotate-usage: none\n")
		w.await("finished", 2*time.Minute, w.finished(1))
		time.Sleep(time.Minute)
		r.end(w)
		r = w.start("")
		time.Sleep(time.Minute)
		r.end(w)
		w.dropPods()
		rows, err := operate.List(w.ctx, w.kube, namespace, contract.JobID(job.ID))
		if err != nil || len(rows) != 1 || len(rows[0].Used) != 1 || !rows[0].Used[0].OutOfMemory {
			t.Fatalf("%+v, %v", rows, err)
		}
		if s := operate.Sizes(rows); len(s) != 1 || s[0].OutOfMemory != 1 {
			t.Errorf("%+v", s)
		}
		if n := w.askedFor("patch jobs"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// Where the next attempt follows at once, the lost one's kjob says why all the same.
func TestUsedNoteOfALostAttempt(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt > 1 {
				ran(w, p)
				return
			}
			p.start()
			p.end(137, "OOMKilled", nil)
		}
		w.build(1)
		r := w.start("")
		w.await("finished", 2*time.Minute, w.finished(1))
		time.Sleep(time.Minute)
		r.end(w)
		w.dropPods()
		rows, err := operate.List(w.ctx, w.kube, namespace, "")
		if err != nil || len(rows) != 2 || len(rows[0].Used) != 1 || !rows[0].Used[0].OutOfMemory || rows[1].Used != nil {
			t.Errorf("%+v, %v", rows, err)
		}
		if n := w.askedFor("patch jobs"); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// Where the API server can't take annotations for a while, as with a webhook that is away, few
// are tried: each may keep a worker for noteWithin. Then they are all written.
func TestUsedNotesOfAnOutage(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const jobs = 40
		mended := false
		w.runs = uses(tooFew)
		w.kube.PrependReactor("patch", "jobs", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			w.writes["patch"]++
			away := !mended
			w.mu.Unlock()
			if away {
				return true, nil, apierrors.NewTimeoutError("failed calling webhook", 0)
			}
			return false, nil, nil
		})
		w.build(jobs)
		r := w.start("")
		w.await("finished", 5*time.Minute, w.finished(jobs))
		began, before := time.Now(), w.askedFor("patch")
		time.Sleep(time.Minute)
		if n, most := w.askedFor("patch")-before, int(time.Since(began)/noteWithin)+2; n > most {
			t.Errorf("%d requests, want %d at most", n, most)
		}
		w.mu.Lock()
		mended = true
		w.mu.Unlock()
		time.Sleep(5 * time.Minute)
		r.end(w)
		w.dropPods()
		rows, err := operate.List(w.ctx, w.kube, namespace, "")
		if err != nil {
			t.Fatal(err)
		}
		noted := 0
		for _, row := range rows {
			if len(row.Used) > 0 {
				noted++
			}
		}
		if noted != jobs {
			t.Errorf("%d of %d are annotated", noted, jobs)
		}
	})
}
