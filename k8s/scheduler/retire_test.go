package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
)

// configured starts a scheduler whose list of queues the returned function
// changes.
func (w *world) configured(queues string, change ...func(*Options)) (r *running, set func(queues string)) {
	w.Helper()
	set = func(text string) { w.mu.Lock(); defer w.mu.Unlock(); queues = text }
	r = w.start("", append(change, func(o *Options) {
		o.Load = func() (*config.Config, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			return config.Parse([]byte("endpoint: http://buildkite.test/v3\nqueues:\n"+queues), namespace)
		}
	})...)
	return r, set
}

// A queue that is taken out, or moves, leaves the kjobs whose pods have a node,
// and no others, nor placeholders.
func TestQueueLeaves(t *testing.T) {
	const queue = "- {name: default, min-agents: 7%s}\n"
	for name, then := range map[string]string{"out": "- {name: other}\n", "elsewhere": fmt.Sprintf(queue, ", namespace: other")} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, simulator.Config{}, func(w *world) {
				jobs := w.build(3)
				running, pending, suspended := jobs[0].ID, jobs[1].ID, jobs[2].ID
				onCreate := func(f func(k *batchv1.Job) (before, after error)) {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.onCreate = f
				}
				onCreate(func(k *batchv1.Job) (error, error) {
					if strings.Contains(k.Name, suspended) {
						k.Spec.Suspend = ptr.To(true)
					}
					return nil, nil
				})
				w.runs = func(w *world, p *pod) {
					if string(p.id) == running {
						p.start()
					}
					w.sleep(time.Hour, p.kill)
				}
				var log logs
				r, set := w.configured(fmt.Sprintf(queue, ""), log.into)
				time.Sleep(15 * time.Second)
				// The creates of two more are tried in vain when the queue goes.
				onCreate(func(*batchv1.Job) (error, error) { return unavailable(), nil })
				w.build(2)
				time.Sleep(5 * time.Second)
				set(then)
				time.Sleep(20 * time.Second)
				onCreate(nil)
				w.await("the queue has left", time.Minute, func() bool { return log.count("queue retired in the namespace") == 1 })
				if n := log.count("kubernetes_jobs_left_to_run=1"); n != 1 {
					t.Errorf("the log says %d times that one kjob is left", n)
				}
				time.Sleep(time.Minute)
				list, err := w.kube.BatchV1().Jobs(namespace).List(w.ctx, metav1.ListOptions{})
				if err != nil || len(list.Items) != 1 || list.Items[0].Name != "onejob-"+running {
					t.Errorf("%d Jobs are left, %v; want the one that runs", len(list.Items), err)
				}
				for _, id := range []string{pending, suspended} {
					es, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+id)
					if err != nil || len(es) == 0 || es[len(es)-1].Message != "deleted by onejob: queue_left" {
						t.Errorf("events of a kjob that was deleted: %v, %v", es, err)
					}
				}
				r.end(w)
			})
		})
	}
}

// What runs on beside an agent container that has ended is not left behind.
func TestQueueLeavesNoHelper(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = beside(func(*world, *pod) (int, string, *contract.Message) {
			at := time.Now().Add(50 * time.Minute)
			return contract.ExitLocked, "Error", &contract.Message{Outcome: contract.OutcomeLocked, Reason: "423", NotBefore: &at}
		})
		w.podAfter = time.Second
		id := w.build(1)[0].ID
		r, set := w.configured("- {name: default}\n")
		w.await("a pod with a node", time.Minute, func() bool { return w.kjobs(id) == 1 && len(w.page(id)) > 0 })
		set("- {name: other}\n")
		w.await("no kjob is left", time.Minute, func() bool { return w.kjobsLeft() == 0 })
		r.end(w)
	})
}
