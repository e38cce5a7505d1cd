package scheduler

import (
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/onejob-dev/onejob/contract"
)

// item is a claim in the queue of creates.
type item struct {
	q  *queue
	id contract.JobID
}

// fairQueue lets the queues take turns, so that ten jobs of one don't wait
// behind a thousand of another. Within a queue it is first come, first served:
// claims come in the order of their priority. The workqueue calls it under its
// lock.
type fairQueue struct {
	lines map[*queue][]item
	turn  []*queue // those that have a line, the next one first
	n     int
}

func newFairQueue() *fairQueue { return &fairQueue{lines: map[*queue][]item{}} }

func (f *fairQueue) Touch(item) {}

func (f *fairQueue) Push(i item) {
	if len(f.lines[i.q]) == 0 {
		f.turn = append(f.turn, i.q)
	}
	f.lines[i.q] = append(f.lines[i.q], i)
	f.n++
}

func (f *fairQueue) Len() int { return f.n }

func (f *fairQueue) Pop() item {
	q := f.turn[0]
	f.turn = f.turn[1:]
	line := f.lines[q]
	first := line[0]
	if len(line) == 1 {
		delete(f.lines, q)
	} else {
		f.lines[q] = line[1:]
		f.turn = append(f.turn, q)
	}
	f.n--
	return first
}

// newCreateQueue is the line of creates with a backoff for each item.
func newCreateQueue(m *Metrics) workqueue.TypedRateLimitingInterface[item] {
	name, provider := m.works.of("", workCreate)
	return workqueue.NewTypedRateLimitingQueueWithConfig(itemBackoff[item](),
		workqueue.TypedRateLimitingQueueConfig[item]{
			DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[item]{
				Name: name, MetricsProvider: provider,
				Queue: workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[item]{Name: name, MetricsProvider: provider, Queue: newFairQueue()}),
			}),
		})
}

// newWorkQueue is a queue's line of what is to be decided, with a backoff for each item.
func newWorkQueue[T comparable](m *Metrics, queue string) workqueue.TypedRateLimitingInterface[T] {
	name, provider := m.works.of(queue, workDecide)
	return workqueue.NewTypedRateLimitingQueueWithConfig(itemBackoff[T](), workqueue.TypedRateLimitingQueueConfig[T]{Name: name, MetricsProvider: provider})
}

// itemBackoff is the wait of one item after its own failures.
func itemBackoff[T comparable]() workqueue.TypedRateLimiter[T] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[T](100*time.Millisecond, 5*time.Second)
}
