package scheduler

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/simulator"
)

// A finished kjob that goes at once, by its TTL, takes neither the decision nor
// the count of attempts along, nor the backoff between them.
func TestTTLZero(t *testing.T) {
	for code, want := range map[int]int{contract.ExitConfig: 1, contract.ExitExhausted: 3} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				w.runs = func(w *world, p *pod) {
					if !w.sleep(300*time.Millisecond, p.kill) {
						return
					}
					p.start()
					w.sleep(time.Second, p.kill)
					p.end(code, "Error", &contract.Message{Outcome: contract.OutcomeConfig, Reason: "x"})
					w.mu.Lock()
					_ = w.kube.Tracker().Delete(jobsGVR, namespace, p.kjob)
					w.mu.Unlock()
					_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
				}
				job := w.build(1)[0]
				r := w.start("  max-attempts: 3\n  template: {inline: {apiVersion: batch/v1, kind: Job, spec: {ttlSecondsAfterFinished: 0}}}\n")
				took := w.await("finished", 5*time.Minute, w.finished(1))
				if n := w.kjobs(job.ID); n != want {
					t.Errorf("%d kjobs, want %d", n, want)
				}
				if f := w.job(job.ID).StackFinish; f == nil || f.ExitStatus != -1 {
					t.Errorf("finish: %+v", f)
				}
				if backoffs := decide.Backoff(1) + decide.Backoff(2); want == 3 && took < backoffs {
					t.Errorf("gave up after %s, with no backoff (%s)", took, backoffs)
				}
				r.end(w)
			})
		})
	}
}

// Which kjob is decided on: the last attempt's, even if it is gone; but never
// past one that is live.
func TestLastKjob(t *testing.T) {
	const id = contract.SampleJobID
	made := func(attempt int, done bool) *cache.Job {
		name := contract.KjobName(id, attempt)
		return &cache.Job{Object: cache.Object{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}, ID: id, Attempt: attempt}, KJob: decide.KJob{UID: types.UID(name), Exists: true, Finished: done}}
	}
	for _, tt := range []struct {
		name       string
		there      *cache.Job
		lost       bool
		gone       *cache.Job
		want       int
		wantGone   bool
		remembered bool
	}{
		{name: "none"},
		{name: "there", there: made(1, false), want: 1},
		{name: "gone", gone: made(1, false), want: 1, wantGone: true, remembered: true},
		{name: "gone, another has its number", there: made(1, false), gone: made(1, false), want: 1},
		{name: "gone, a later one is there", there: made(2, true), gone: made(1, false), want: 2},
		{name: "gone, an earlier one is finished", there: made(1, true), gone: made(2, false), want: 2, wantGone: true, remembered: true},
		{name: "gone, an earlier one is lost", there: made(1, false), lost: true, gone: made(2, false), want: 2, wantGone: true, remembered: true},
		{name: "gone, an earlier one is live", there: made(1, false), gone: made(2, false), want: 1, remembered: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := cache.New(fake.NewClientset(), slog.New(slog.DiscardHandler), namespace, "", cache.Handlers{}, &kube.Breaker{}, new(kube.Skew).Of)
			if err != nil {
				t.Fatal(err)
			}
			m := &jobState{}
			cs := newClaims(s, "default", nil)
			cs.jobs[id] = m
			if tt.there != nil {
				if err := s.Kjobs.GetIndexer().Add(tt.there); err != nil {
					t.Fatal(err)
				}
				if tt.lost {
					losesPod(m, tt.there.UID)
				}
			}
			if tt.gone != nil {
				m.kjobGone(tt.gone)
			}
			got := 0
			k, gone := cs.lastOf(id)
			if k != nil {
				got = k.Attempt
			}
			if got != tt.want || gone != tt.wantGone || (m.gone != nil) != tt.remembered {
				t.Errorf("attempt %d, gone: %t, remembered: %t; want %d, %t, %t", got, gone, m.gone != nil, tt.want, tt.wantGone, tt.remembered)
			}
		})
	}
}

// losesPod has the pod of a job's first kjob seen as lost.
func losesPod(m *jobState, kjob types.UID) {
	m.See(decide.Seen{
		KJob: decide.AttemptKJob{Number: 1, KJob: decide.KJob{UID: kjob, Exists: true}},
		Pods: []decide.AttemptPod{{KJob: kjob, Attempt: 1, Pod: &decide.Pod{Phase: corev1.PodFailed}}},
	})
}

// Somebody deletes every kjob but the first, whose finished kjob stays: each
// counts, waits its time, and takes the story along.
func TestDeletedAgainAndAgain(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt == 1 {
				exits(contract.ExitExhausted, contract.OutcomeExhausted)(w, p)
				return
			}
			w.sleep(time.Second, p.kill)
			_ = w.kube.Tracker().Delete(jobsGVR, namespace, p.kjob)
			p.stop()
		}
		job := w.build(1)[0]
		r := w.start("  max-attempts: 4\n")
		took := w.await("finished", 5*time.Minute, w.finished(1))
		time.Sleep(time.Minute)
		w.mu.Lock()
		creates := w.creates
		w.mu.Unlock()
		if n := w.kjobs(job.ID); n != 4 || creates != 4 {
			t.Errorf("%d kjobs in %d creates, want 4", n, creates)
		}
		if backoffs := decide.Backoff(1) + decide.Backoff(2) + decide.Backoff(3); took < backoffs {
			t.Errorf("gave up after %s, want a growing backoff (%s)", took, backoffs)
		}
		want := "gave up after 4 attempts, none of which acquired the job: attempt 1 could not reach Buildkite: because of the test"
		for n := 2; n <= 4; n++ {
			want += fmt.Sprintf("; the Kubernetes Job of attempt %d was deleted before it acquired the job", n)
		}
		if f := w.job(job.ID).StackFinish; f == nil || f.Detail != want {
			t.Errorf("finished with %+v, want %q", f, want)
		}
		r.end(w)
	})
}

// A claim that is dropped before its create makes no deleted kjob forgotten: the
// one that an earlier attempt has left doesn't come to speak again.
func TestDroppedClaimForgetsNothing(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		var names []string
		refused := false
		w.onCreate = func(k *batchv1.Job) (before, after error) {
			names = append(names, k.Name)
			if kjob.AttemptOf(k) < 3 || refused {
				return nil, nil
			}
			refused = true
			return apierrors.NewForbidden(batchv1.Resource("jobs"), k.Name, errors.New(`User "x" cannot create resource "jobs" in API group "batch"`)), nil
		}
		w.runs = func(w *world, p *pod) {
			switch p.attempt {
			case 1:
				exits(contract.ExitExhausted, contract.OutcomeExhausted)(w, p)
			case 2:
				w.sleep(time.Second, p.kill)
				_ = w.kube.Tracker().Delete(jobsGVR, namespace, p.kjob)
				p.stop()
			default:
				ran(w, p)
			}
		}
		id := contract.JobID(w.build(1)[0].ID)
		r := w.start("")
		w.await("finished", 5*time.Minute, w.finished(1))
		third := contract.KjobName(id, 3)
		if want := []string{contract.KjobName(id, 1), contract.KjobName(id, 2), third, third}; !slices.Equal(names, want) {
			t.Errorf("created %v, want %v", names, want)
		}
		r.end(w)
	})
}

// An attempt that was about to be made isn't when a kjob turns out to be complete
// whose pod went unseen.
func TestAttemptIsTakenBack(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			w.sleep(300*time.Millisecond, p.kill)
			p.start()
			if p.attempt == 1 {
				p.end(137, "Evicted", nil)
				return
			}
			p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
			w.sleep(2*time.Second, p.kill)
			p.finishKjob(true)
		}
		id := w.build(1)[0].ID
		r := w.start("")
		time.Sleep(5 * time.Minute)
		if page := fmt.Sprint(w.page(id)); w.kjobs(id) != 2 || !strings.Contains(page, "the pod of attempt 2 was lost") || !strings.Contains(page, "onejob leaves it alone") {
			t.Errorf("%d kjobs, and the page says %s; want two, of which the second was lost, then left alone", w.kjobs(id), page)
		}
		r.end(w)
	})
}

// A job whose runner has reported its end, and that Buildkite offers all the
// same, is left alone, also when its kjob has gone by its TTL, and before that of
// an attempt before.
func TestReportedJobIsLeftAlone(t *testing.T) {
	for _, attempt := range []int{1, 2} {
		t.Run(fmt.Sprint("attempt ", attempt), func(t *testing.T) { reportedJobIsLeftAlone(t, attempt) })
	}
}

func reportedJobIsLeftAlone(t *testing.T, attempt int) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			if p.attempt < attempt {
				exits(contract.ExitExhausted, contract.OutcomeExhausted)(w, p)
				return
			}
			w.sleep(300*time.Millisecond, p.kill)
			p.start()
			p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished})
		}
		id := w.build(1)[0].ID
		name := contract.KjobName(contract.JobID(id), attempt)
		r := w.start("")
		w.await("finished", 20*time.Second, func() bool {
			k, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, name, metav1.GetOptions{})
			return err == nil && kjob.Finished(k)
		})
		time.Sleep(time.Minute) // its reservation lapses
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, name)
		_ = w.kube.Tracker().Delete(podsGVR, namespace, name+"-x")
		time.Sleep(5 * time.Minute)
		w.mu.Lock()
		creates := w.creates
		w.mu.Unlock()
		if creates != attempt {
			t.Errorf("%d kjobs were made, want %d", creates, attempt)
		}
		if said := fmt.Sprint(w.job(id).Notifications); !strings.Contains(said, "onejob leaves it alone") {
			t.Errorf("the page says %s", said)
		}
		r.end(w)
	})
}
