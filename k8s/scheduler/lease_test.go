package scheduler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// A process whose Lease can't be renewed stops to serve before anybody else can
// lead, and leads again when it can: in the same process, with caches that live.
func TestLeaseLostAndWonAgain(t *testing.T) {
	const before, after = 20, 20
	inWorld(t, simulator.Config{}, func(w *world) {
		down, late := false, false
		w.kube.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if down {
				return true, nil, errors.New("connection refused")
			}
			return false, nil, nil
		})
		set := func(what *bool, to bool) { w.mu.Lock(); defer w.mu.Unlock(); *what = to }
		made := func() int { w.mu.Lock(); defer w.mu.Unlock(); return len(w.made) }
		w.build(before)
		r := w.start("  max-in-flight: 6\n", func(o *Options) {
			o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "a"}
			o.Load = func() (*config.Config, error) {
				text := "endpoint: http://buildkite.test/v3\nqueues:\n- {name: default, max-in-flight: 6}\n"
				w.mu.Lock()
				defer w.mu.Unlock()
				if late {
					text += "- {name: late, namespace: later}\n"
				}
				return config.Parse([]byte(text), namespace)
			}
		})
		w.await("all finished", 2*time.Minute, w.finished(before))
		set(&late, true)
		served := func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.queues) == 2 }
		w.await("the late queue is served", 20*time.Second, served)

		set(&down, true)
		w.await("it leads no more", renewDeadline+leaseRetry+time.Second, func() bool { return !r.leading.Load() })
		n := made()
		w.build(after)
		time.Sleep(time.Minute)
		if made() != n {
			t.Errorf("%d kjobs were made without the Lease", made()-n)
		}
		set(&down, false)
		w.await("it leads again", leaseDuration+2*leaseRetry+time.Second, r.leading.Load)
		w.await("all finished", 2*time.Minute, w.finished(before+after))
		if w.most > 6 {
			t.Errorf("there were up to %d unfinished kjobs, want 6", w.most)
		}
		w.await("the late queue is served", 20*time.Second, served)
		k := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "news", Namespace: "later", Labels: map[string]string{"onejob.dev/queue": "late"}}}
		if err := w.kube.Tracker().Create(jobsGVR, k, "later"); err != nil {
			t.Fatal(err)
		}
		w.await("the cache of a namespace that came while it led shows what is new", time.Second, func() bool { return r.stores["later"].Kjob("news") != nil })
		select {
		case err := <-r.done:
			t.Fatalf("the process has ended: %v", err)
		default:
		}
		r.end(w)
	})
}

// What is being created when the Lease can't be renewed is given up before
// anybody else can lead, and nothing more is sent.
func TestCreatesEndWithTheLease(t *testing.T) {
	for name, fails := range map[string]func(context.Context) error{
		"refused": func(context.Context) error { return errors.New("connection refused") },
		"silent":  func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) { createsEndWithTheLease(t, fails) })
	}
}

func createsEndWithTheLease(t *testing.T, fails func(context.Context) error) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var renewed, lastBegun, lastEnded time.Time
		down, open := false, 0
		note := func(what *time.Time, n int) { w.mu.Lock(); defer w.mu.Unlock(); *what = time.Now(); open += n }
		call := func(ctx context.Context) error {
			w.mu.Lock()
			now := down
			if !now {
				renewed = time.Now()
			}
			w.mu.Unlock()
			if now {
				return fails(ctx)
			}
			return nil
		}
		r := w.start("", func(o *Options) {
			o.Kube = leasesFail{o.Kube, call}
			o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "a"}
			o.Lean = slow{w.kube, func(ctx context.Context) error {
				note(&lastBegun, 1)
				defer note(&lastEnded, -1)
				<-ctx.Done()
				return ctx.Err()
			}}
		})
		w.await("it leads", 5*time.Second, r.leading.Load)
		time.Sleep(time.Minute)
		w.mu.Lock()
		down = true
		w.mu.Unlock()
		time.Sleep(renewDeadline / 2)
		w.build(20)
		time.Sleep(time.Minute)
		w.mu.Lock()
		defer w.mu.Unlock()
		if lastBegun.IsZero() || open != 0 {
			t.Fatalf("creates: the last began at %v, %d go on", lastBegun, open)
		}
		if most := renewed.Add(leaseDuration); !lastBegun.Before(most) || !lastEnded.Before(most) {
			t.Errorf("the Lease was renewed at %v; the last create began at %v and ended at %v, when another may lead", renewed, lastBegun, lastEnded)
		}
	})
}

// leasesFail is a client whose calls about Leases may fail.
type leasesFail struct {
	kube.Client
	call func(context.Context) error
}

func (c leasesFail) CoordinationV1() coordinationclient.CoordinationV1Interface {
	return failingCoordination{c.Client.CoordinationV1(), c.call}
}

type failingCoordination struct {
	coordinationclient.CoordinationV1Interface
	call func(context.Context) error
}

func (c failingCoordination) Leases(namespace string) coordinationclient.LeaseInterface {
	return failingLeases{c.CoordinationV1Interface.Leases(namespace), c.call}
}

type failingLeases struct {
	coordinationclient.LeaseInterface
	call func(context.Context) error
}

func (c failingLeases) Get(ctx context.Context, name string, o metav1.GetOptions) (*coordinationv1.Lease, error) {
	if err := c.call(ctx); err != nil {
		return nil, err
	}
	return c.LeaseInterface.Get(ctx, name, o)
}

func (c failingLeases) Update(ctx context.Context, l *coordinationv1.Lease, o metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	if err := c.call(ctx); err != nil {
		return nil, err
	}
	return c.LeaseInterface.Update(ctx, l, o)
}

// A Lease is released by who has it, and by nobody else.
func TestRelease(t *testing.T) {
	for holder, want := range map[string]string{"a": "", "b": "b"} {
		kube := fake.NewClientset()
		s := New(Options{Kube: kube, Log: slog.New(slog.DiscardHandler)})
		api := kube.CoordinationV1().Leases(namespace)
		if _, err := api.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "onejob"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.release(&resourcelock.LeaseLock{
			LeaseMeta: metav1.ObjectMeta{Namespace: namespace, Name: "onejob"}, Client: kube.CoordinationV1(), LockConfig: resourcelock.ResourceLockConfig{Identity: "a"},
		})
		l, err := api.Get(t.Context(), "onejob", metav1.GetOptions{})
		if err != nil || ptr.Deref(l.Spec.HolderIdentity, "") != want {
			t.Errorf("%s's Lease, released by a, is held by %q, %v", holder, ptr.Deref(l.Spec.HolderIdentity, ""), err)
		}
	}
}

// held makes a Lease that somebody else has until the returned function is
// called.
func (w *world) held() (release func()) {
	w.Helper()
	now := metav1.NowMicro()
	api := w.kube.CoordinationV1().Leases(namespace)
	l, err := api.Create(w.ctx, &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: "onejob", Namespace: namespace},
		Spec:       coordinationv1.LeaseSpec{HolderIdentity: ptr.To("other"), LeaseDurationSeconds: ptr.To[int32](36000), AcquireTime: &now, RenewTime: &now},
	}, metav1.CreateOptions{})
	if err != nil {
		w.Fatal(err)
	}
	return func() {
		l.Spec.HolderIdentity = ptr.To("")
		if _, err := api.Update(w.ctx, l, metav1.UpdateOptions{}); err != nil {
			w.Fatal(err)
		}
	}
}

// A standby that takes over goes by the configuration as it is then; by the
// last good one, not ready, if it can't be used then.
func TestTakeoverReadsTheConfiguration(t *testing.T) {
	for _, bad := range []bool{false, true} {
		t.Run(fmt.Sprintf("bad %v", bad), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				release := w.held()
				most, failing := 5, error(nil)
				r := w.start("", func(o *Options) {
					o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "b"}
					o.Load = func() (*config.Config, error) {
						w.mu.Lock()
						defer w.mu.Unlock()
						if failing != nil {
							return nil, failing
						}
						return config.Parse(fmt.Appendf(nil, "endpoint: http://buildkite.test/v3\nqueues:\n- {name: default, max-in-flight: %d}\n", most), namespace)
					}
				})
				w.build(20)
				time.Sleep(time.Minute)
				w.mu.Lock()
				want := 2
				if most = 2; bad {
					failing, want = errors.New("no such file"), 5
				}
				w.mu.Unlock()
				time.Sleep(30 * time.Minute)
				release()
				w.await("it leads", time.Minute, r.leading.Load)
				time.Sleep(5 * time.Second) // less than a reload needs
				if w.peak() != want {
					t.Errorf("%d at a time, want %d", w.peak(), want)
				}
				if f := strings.Join(r.unready(), "\n"); bad != strings.Contains(f, "configuration: no such file") {
					t.Errorf("not ready because of %q", f)
				}
				r.end(w)
			})
		})
	}
}

// A standby that finds an API server that is slow at its start is ready when
// its caches are filled, without having led.
func TestStandbyBecomesReady(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		down := true
		w.kube.PrependReactor("list", "jobs", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return down, nil, unavailable()
		})
		w.held()
		r := w.start("", func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "b"} })
		time.Sleep(40 * time.Second)
		if f := strings.Join(r.unready(), "\n"); !strings.Contains(f, "namespace "+namespace) {
			t.Errorf("not ready because of %q, want the namespace", f)
		}
		w.mu.Lock()
		down = false
		w.mu.Unlock()
		w.await("ready", time.Minute, func() bool { return len(r.unready()) == 0 })
		if r.leading.Load() {
			t.Error("it leads, the test shows nothing")
		}
		r.end(w)
	})
}

// What was wrong while a process led isn't held against it when it stands by.
func TestStandbyForgetsALeadersFaults(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		down := false
		w.kube.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return down, nil, errors.New("connection refused")
		})
		r := w.start("- {name: broken, template: {pod-template: none}}\n", func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "a"} })
		w.await("not ready", time.Minute, func() bool { return r.leading.Load() && len(r.unready()) > 0 })
		w.mu.Lock()
		down = true
		w.mu.Unlock()
		w.await("it stands by", time.Minute, func() bool { return !r.leading.Load() })
		if f := r.unready(); len(f) > 0 {
			t.Errorf("a standby is not ready because of %q", f)
		}
		r.end(w)
	})
}

// A token that nobody accepts ends a process at its start, and no other: not one
// that leads again, nor one that takes over.
func TestAllRefused(t *testing.T) {
	lease := func(o *Options) { o.Lease = &LeaseOptions{Namespace: namespace, Name: "onejob", Identity: "a"} }
	ended := func(r *running, within time.Duration) error {
		select {
		case err := <-r.done:
			r.done <- err
			return err
		case <-time.After(within):
			return nil
		}
	}
	waits := func(w *world, r *running) {
		w.Helper()
		if err := ended(r, 5*time.Minute); err != nil {
			w.Errorf("the process has ended: %v", err)
		}
		if f := strings.Join(r.unready(), "\n"); !r.leading.Load() || !strings.Contains(f, "queue default is stopped") {
			w.Errorf("leads %v, not ready because of %q", r.leading.Load(), f)
		}
	}
	t.Run("at start", func(t *testing.T) {
		inWorld(t, simulator.Config{}, func(w *world) {
			w.sim.RotateAgentToken("another")
			if err := ended(w.start("", lease), time.Minute); !errors.Is(err, ErrAllRefused) {
				t.Errorf("Run: %v, want ErrAllRefused", err)
			}
		})
	})
	t.Run("takes over", func(t *testing.T) {
		inWorld(t, simulator.Config{}, func(w *world) {
			release := w.held()
			r := w.start("", lease)
			time.Sleep(time.Minute)
			w.sim.RotateAgentToken("another")
			release()
			waits(w, r)
			r.end(w)
		})
	})
	t.Run("leads again", func(t *testing.T) {
		inWorld(t, simulator.Config{}, func(w *world) {
			down := false
			w.kube.PrependReactor("*", "leases", func(k8stesting.Action) (bool, runtime.Object, error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				return down, nil, errors.New("connection refused")
			})
			set := func(to bool) { w.mu.Lock(); defer w.mu.Unlock(); down = to }
			r := w.start("", lease)
			w.await("it leads", time.Minute, r.leading.Load)
			time.Sleep(time.Hour)
			w.sim.RotateAgentToken("another")
			set(true)
			w.await("it leads no more", time.Minute, func() bool { return !r.leading.Load() })
			set(false)
			waits(w, r)
			r.end(w)
		})
	})
}
