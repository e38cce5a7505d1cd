package scheduler

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// A pod outlives its kjob, and nobody remembers it: a scheduler that starts then
// makes no second one beside it, says so, and goes on when it has gone.
func TestOrphanAfterARestart(t *testing.T) {
	for _, attempt := range []int{1, 2} {
		t.Run(fmt.Sprint("attempt ", attempt), func(t *testing.T) { orphanAfterARestart(t, attempt) })
	}
}

func orphanAfterARestart(t *testing.T, attempt int) {
	inWorld(t, simulator.Config{}, func(w *world) {
		gone := false
		w.runs = func(w *world, p *pod) {
			switch {
			case p.attempt < attempt:
				exits(contract.ExitExhausted, contract.OutcomeExhausted)(w, p)
			case !gone:
				p.start()
				w.sleep(time.Hour, p.kill)
			default:
				ran(w, p)
			}
		}
		job := w.build(1)[0]
		name := contract.KjobName(contract.JobID(job.ID), attempt)
		r := w.start("")
		w.await("made", 20*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.pods[name] != nil })
		time.Sleep(2 * time.Second)
		r.end(w)
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, name)
		r = w.start("")
		time.Sleep(5 * time.Minute)
		w.mu.Lock()
		creates, p := w.creates, w.pods[name]
		w.mu.Unlock()
		if creates != attempt {
			t.Errorf("%d kjobs were made, want %d: a pod of the last one lives", creates, attempt)
		}
		if held := r.queues["default"].claims.held(); held != 1 {
			t.Errorf("%d slots are held, want the pod's", held)
		}
		want := "waiting for pod " + name + "-x of an earlier attempt to end; if node node-1 is gone for good"
		if ns := w.job(job.ID).Notifications; len(ns) == 0 || !strings.HasPrefix(ns[len(ns)-1].Detail, want) {
			t.Errorf("the page says %+v, want %q", ns, want)
		}
		gone = true
		p.stop()
		w.await("finished", time.Minute, w.finished(1))
		w.mu.Lock()
		creates = w.creates
		w.mu.Unlock()
		if got := w.job(job.ID); got.ExitStatus != "0" || creates != attempt+1 {
			t.Errorf("exit status %s after %d kjobs, want one more, which ran", got.ExitStatus, creates)
		}
		r.end(w)
	})
}

// An orphan holds a slot beside a kjob that has come to its own one's name.
func TestOrphanHoldsASlot(t *testing.T) {
	const id = contract.SampleJobID
	name := contract.KjobName(id, 1)
	for _, tt := range []struct {
		name     string
		there    types.UID // none if it is empty
		finished bool
		want     int
	}{
		{"its kjob is there", "a", false, 1},
		{"its kjob is finished", "a", true, 0},
		{"no kjob", "", false, 1},
		{"another kjob", "b", false, 2},
		{"another kjob, which is finished", "b", true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := cache.New(fake.NewClientset(), slog.New(slog.DiscardHandler), namespace, "", cache.Handlers{}, &kube.Breaker{}, new(kube.Skew).Of)
			if err != nil {
				t.Fatal(err)
			}
			p := &cache.Pod{Object: cache.Object{ObjectMeta: metav1.ObjectMeta{Name: name + "-x", Namespace: namespace}, ID: id, Attempt: 1, Queue: "default"},
				Pod: decide.Pod{Phase: corev1.PodRunning, Node: "node-1"}, Kjob: name, KjobUID: "a"}
			if err := s.Pods.GetIndexer().Add(p); err != nil {
				t.Fatal(err)
			}
			if tt.there != "" {
				k := &cache.Job{Object: cache.Object{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, UID: tt.there}, ID: id, Attempt: 1, Queue: "default"},
					KJob: decide.KJob{UID: tt.there, Exists: true, Finished: tt.finished}}
				if err := s.Kjobs.GetIndexer().Add(k); err != nil {
					t.Fatal(err)
				}
			}
			if got := newClaims(s, "default", nil).held(); got != tt.want {
				t.Errorf("%d slots are held, want %d", got, tt.want)
			}
		})
	}
}

// A kjob whose pod is lost holds no slot, nor does one before it that never ends.
func TestLostHoldsNoSlot(t *testing.T) {
	const id = contract.SampleJobID
	for _, tt := range []struct {
		name    string
		lost    types.UID
		podSeen bool
		phase   corev1.PodPhase // of the first attempt's pod; empty: there is none
		want    int
	}{
		{"the second attempt is live", "", true, "", 1},
		{"both are lost", "b", true, "", 0},
		{"both are lost, and the first one's pod is there to look at", "b", true, corev1.PodFailed, 0},
		{"the first one's pod lives", "b", true, corev1.PodRunning, 1},
		{"the first one's pod is still to come", "b", false, "", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := cache.New(fake.NewClientset(), slog.New(slog.DiscardHandler), namespace, "", cache.Handlers{}, &kube.Breaker{}, new(kube.Skew).Of)
			if err != nil {
				t.Fatal(err)
			}
			for n, uid := range []types.UID{"a", "b"} {
				k := &cache.Job{Object: cache.Object{ObjectMeta: metav1.ObjectMeta{Name: contract.KjobName(id, n+1), Namespace: namespace, UID: uid}, ID: id, Attempt: n + 1, Queue: "default"},
					KJob: decide.KJob{UID: uid, Exists: true, PodSeen: tt.podSeen}}
				if err := s.Kjobs.GetIndexer().Add(k); err != nil {
					t.Fatal(err)
				}
			}
			if tt.phase != "" {
				p := &cache.Pod{Object: cache.Object{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: namespace}, ID: id, Attempt: 1, Queue: "default"},
					Pod: decide.Pod{Phase: tt.phase, Node: "node-1"}, Kjob: contract.KjobName(id, 1), KjobUID: "a"}
				if err := s.Pods.GetIndexer().Add(p); err != nil {
					t.Fatal(err)
				}
			}
			m := &jobState{}
			if m.Made(2); tt.lost != "" {
				losesPod(m, tt.lost)
			}
			cs := newClaims(s, "default", nil)
			cs.jobs[id] = m
			if got := cs.held(); got != tt.want {
				t.Errorf("%d slots are held, want %d", got, tt.want)
			}
		})
	}
}
