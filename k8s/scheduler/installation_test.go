package scheduler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// installed makes a scheduler one of an installation.
func installed(name, uid string) func(*Options) {
	return func(o *Options) {
		o.Installation = name
		o.UID = func(context.Context) (string, error) { return uid, nil }
	}
}

// stacks are the keys of the stacks at Buildkite that are connected.
func (w *world) stacks() (keys []string) {
	for _, s := range w.sim.Stacks() {
		if s.State == "connected" {
			keys = append(keys, s.Key)
		}
	}
	return keys
}

// for20s is a pod that runs its job for 20 s.
func for20s(w *world, p *pod) {
	w.sleep(300*time.Millisecond, p.kill)
	p.start()
	a, err := w.acquire(p.id)
	if err != nil {
		p.end(contract.ExitRejected, "Error", &contract.Message{Outcome: contract.OutcomeRejected, Reason: err.Error()})
		return
	}
	w.sleep(20*time.Second, p.kill)
	a.finish(0)
	zero := 0
	p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero})
}

// Two installations in two clusters serve one queue: by default each job has one pod,
// and the uninstallation of one leaves the other's stack. With one key both reserve each
// job, and say so.
func TestTwoInstallations(t *testing.T) {
	const builds, n = 10, 40
	for _, tt := range []struct {
		name, text string
		stacks     []string
		share      bool
	}{
		{"by default", "", []string{"onejob-4a49acf8-default", "onejob-afaec2d5-default"}, false},
		{"with one key", "  stack: same\n", []string{"same"}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// Both see a job before the other's reservation of it shows, though with one key
			// they share the limit of requests too.
			inWorld(t, simulator.Config{ListLag: 2 * time.Second}, func(w *world) {
				clusters := []*world{w, w.elsewhere()}
				var rs []*running
				for i, c := range clusters {
					c.runs = for20s
					rs = append(rs, c.start(tt.text, installed("onejob.onejob", []string{"uid-1", "uid-2"}[i])))
				}
				w.await("ready", 10*time.Second, func() bool { return len(rs[0].unready())+len(rs[1].unready()) == 0 })
				time.Sleep(2 * time.Second)
				var jobs []simulator.Job
				for range builds {
					jobs = append(jobs, w.build(n/builds)...)
					time.Sleep(3 * time.Second)
				}
				w.await("finished", 5*time.Minute, w.finished(n))
				made, said := 0, 0
				for i, c := range clusters {
					made += c.created()
					told := c.eventsSaying("StackShared", "its stack same had reserved were taken by agents that are not in its pods")
					if gauge := rs[i].metric("onejob_queue_stack_shared")["default"]; gauge != float64(told) {
						t.Errorf("told %d times, and the gauge is %v", told, gauge)
					}
					said += told
				}
				if !slices.Equal(w.stacks(), tt.stacks) || (made > n) != tt.share || (said > 0) != tt.share {
					t.Errorf("stacks %q; %d Kubernetes Jobs for %d jobs; %d say that they share the key", w.stacks(), made, n, said)
				}
				for _, j := range jobs {
					if got := w.job(j.ID); got.ExitStatus != "0" {
						t.Errorf("a job ended with %q", got.ExitStatus)
					}
				}
				if tt.share {
					// Long after the last of them nothing is said of it any more.
					time.Sleep(rivalWithin + time.Minute)
					for _, r := range rs {
						if got := r.metric("onejob_queue_stack_shared")["default"]; got != 0 {
							t.Errorf("the gauge is %v", got)
						}
					}
				} else {
					rs[1].end(clusters[1])
					w.call("POST", "stacks/"+tt.stacks[1]+"/deregister", simulator.DefaultAgentToken, nil)
					w.build(1)
					w.await("served by the other", 5*time.Minute, w.finished(n+1))
					rs = rs[:1]
				}
				for i, r := range rs {
					r.end(clusters[i])
				}
			})
		})
	}
}

// An upgrade from a release in which all installations had one key: what it had reserved
// lapses, and no job is lost or has a second pod. Its stack is left, and that is said.
func TestOldKeyIsLeft(t *testing.T) {
	const n = 12
	inWorld(t, simulator.Config{}, func(w *world) {
		w.podAfter = 90 * time.Second // they pend when the old release goes
		jobs := w.build(n)
		const text = "  max-in-flight: 6\n"
		r := w.start(text)
		w.await("Kubernetes Jobs", 10*time.Second, func() bool { return w.created() == 6 })
		time.Sleep(5 * time.Second)
		r.end(w)
		r = w.start(text, installed("builds.onejob", "uid-1"))
		w.await("finished", 10*time.Minute, w.finished(n))
		for _, j := range jobs {
			if got := w.job(j.ID); got.ExitStatus != "0" || w.kjobs(j.ID) != 1 {
				t.Errorf("job %s ended with %q and %d Kubernetes Jobs: %q", j.ID, got.ExitStatus, w.kjobs(j.ID), w.page(j.ID))
			}
		}
		if want := []string{"onejob-4a49acf8-default", "onejob-default"}; !slices.Equal(w.stacks(), want) {
			t.Errorf("stacks %q, want %q", w.stacks(), want)
		}
		if got := w.eventsSaying("StackRenamed", "A release before used onejob-default, which is left registered, because another installation may use it: if none does, run `onejob deregister --queue default --stack onejob-default`"); got != 1 {
			t.Errorf("%d Events of it, want 1", got)
		}
		r.end(w)
	})
}

// A stack that the configuration names has not been renamed by the upgrade.
func TestGivenStackIsNotRenamed(t *testing.T) {
	for name, text := range map[string]string{"the queue's": "  stack: mine\n", "of all": "stack: mine\n"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.podAfter = 90 * time.Second
				w.build(2)
				r := w.start(text)
				w.await("Kubernetes Jobs", 10*time.Second, func() bool { return w.created() == 2 })
				r.end(w)
				r = w.start(text, installed("builds.onejob", "uid-1"))
				w.await("finished", 10*time.Minute, w.finished(2))
				if got := w.eventsSaying("StackRenamed", "A release before used"); got != 0 {
					t.Errorf("%d Events of it; the stacks are %q", got, w.stacks())
				}
				r.end(w)
			})
		})
	}
}

// Another installation's Kubernetes Jobs are left alone, whatever its queue's settings
// are: they hold no slot, aren't finished nor deleted. Should it be gone, its jobs are run
// when its Kubernetes Jobs are gone.
func TestTwoInstallationsInOneNamespace(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.podAfter = 40 * time.Second
		const n = 4
		first := w.build(n)
		a := w.start("", installed("builds.a", "uid-a"))
		w.await("Kubernetes Jobs", 10*time.Second, func() bool { return w.created() == n })
		b := w.start("  pending-timeout: 3s\n  max-in-flight: 2\n", installed("builds.b", "uid-b"))
		time.Sleep(30 * time.Second)
		if f := b.unready(); len(f) > 0 {
			t.Errorf("the second is not ready: %q", f)
		}
		if got := b.metric("onejob_slots")["held default"]; got != 0 {
			t.Errorf("the first one's Kubernetes Jobs hold %v slots of the second", got)
		}
		w.await("the first one's jobs run", time.Minute, w.finished(n))
		a.end(w)

		// The first is gone with a job reserved and its pod pending: the second waits.
		w.podAfter = time.Hour
		a = w.start("", installed("builds.a", "uid-a"))
		b.end(w)
		left := w.build(1)[0]
		w.await("a Kubernetes Job", 10*time.Second, func() bool { return w.kjobs(left.ID) == 1 })
		a.end(w)
		b = w.start("  max-in-flight: 2\n", installed("builds.b", "uid-b"))
		before := w.created()
		time.Sleep(5 * time.Minute)
		if got := w.created() - before; got > 11 || got == 0 {
			t.Errorf("%d creates in five minutes, want one in 30 s", got)
		}
		w.hasPage(left.ID, "another installation of onejob (builds.a) looks after it")
		w.podAfter = 0
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+left.ID)
		w.mu.Lock()
		w.pods["onejob-"+left.ID].stop()
		w.mu.Unlock()
		w.await("the job runs", time.Minute, w.finished(n+1))
		for _, j := range append(first, left) {
			if got := w.job(j.ID); got.ExitStatus != "0" {
				t.Errorf("job %s ended with %q: %q", j.ID, got.ExitStatus, w.page(j.ID))
			}
		}
		b.end(w)
	})
}

// Two installations adopt an unmarked Kubernetes Job whose pod was stopped, and one of
// them makes the next attempt, which pends: the other asks for the job now and then.
func TestUnmarkedOfTwo(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt == 1 {
				w.sleep(20*time.Second, p.kill)
				p.end(143, "Error", &contract.Message{Outcome: contract.OutcomeStopped})
				return
			}
			w.sleep(3*time.Minute, p.kill)
			ran(w, p)
		}
		id := w.build(1)[0].ID
		w.attempt(id, 1)
		const text = "  pending-timeout: 1h\n"
		a := w.start(text, installed("builds.a", "uid-a"))
		b := w.start(text, installed("builds.b", "uid-b"))
		w.await("a second attempt", time.Minute, func() bool { return w.kjobs(id) == 2 })
		time.Sleep(10 * time.Second)
		reserves, states := w.sim.Count("stacks_reserve"), w.sim.Count("stacks_states")
		time.Sleep(time.Minute)
		// The winner's renewals and looks are among them.
		if got := w.sim.Count("stacks_reserve") - reserves; got > 6 {
			t.Errorf("%d reservations asked for in a minute", got)
		}
		if got := w.sim.Count("stacks_states") - states; got > 30 {
			t.Errorf("%d questions for states in a minute", got)
		}
		w.await("finished", 10*time.Minute, w.finished(1))
		if got := w.job(id); got.ExitStatus != "0" || w.kjobs(id) != 2 {
			t.Errorf("it ended with %q and %d Kubernetes Jobs: %q", got.ExitStatus, w.kjobs(id), w.page(id))
		}
		a.end(w)
		b.end(w)
	})
}

// Until it is known which installation this is, no stack is named.
func TestUnknownInstallation(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		began := time.Now()
		w.build(1)
		r := w.start("", func(o *Options) {
			o.UID = func(context.Context) (string, error) {
				if time.Since(began) < time.Minute {
					return "", errors.New("not now")
				}
				return "uid-1", nil
			}
		})
		time.Sleep(50 * time.Second)
		if got := w.sim.Stacks(); len(got) != 0 {
			t.Errorf("there are stacks: %+v", got)
		}
		w.await("finished", time.Minute, w.finished(1))
		if got := w.stacks(); len(got) != 1 || !strings.HasPrefix(got[0], "onejob-4a49acf8") {
			t.Errorf("stacks %q", got)
		}
		r.end(w)
	})
}

// While the watch of pods is cut, pods of ours get nodes and jobs, and look as if others
// had those: nobody else is there.
func TestNoRivalsInAnOutage(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			w.sleep(5*time.Second, p.kill)
			a, err := w.acquire(p.id) // placed and running, which the cut watch doesn't show
			if err != nil {
				p.end(contract.ExitRejected, "Error", nil)
				return
			}
			w.sleep(15*time.Second, p.kill)
			p.start()
			w.sleep(15*time.Second, p.kill)
			a.finish(0)
			zero := 0
			p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero})
		}
		r := w.start("")
		time.Sleep(5 * time.Second)
		w.build(4)
		time.Sleep(3 * time.Second)
		r.stores[namespace].Connection.Note("pods", time.Now(), errTorn)
		time.Sleep(22 * time.Second)
		r.stores[namespace].Connection.Note("pods", time.Now(), nil)
		w.await("finished", time.Minute, w.finished(4))
		if n := w.eventsSaying("StackShared", "was"); n > 0 || r.metric("onejob_queue_stack_shared")["default"] > 0 {
			t.Errorf("rivals: %d Events, gauge %v", n, r.metric("onejob_queue_stack_shared"))
		}
		r.end(w)
	})
}
