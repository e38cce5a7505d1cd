package scheduler

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/simulator"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// forgets makes Buildkite know no job from the moment that gone says so, and
// counts the finishes that it is asked for.
func (w *world) forgets(gone *bool, finishes *int) func(*Options) {
	return func(o *Options) {
		next := o.Transport
		o.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			finish := strings.HasSuffix(r.URL.Path, "/finish")
			w.mu.Lock()
			forgot := *gone
			if finish {
				*finishes++
			}
			w.mu.Unlock()
			reply := func(status int, body string) (*http.Response, error) {
				time.Sleep(20 * time.Millisecond)
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
			}
			switch {
			case forgot && strings.HasSuffix(r.URL.Path, "/get-states"):
				return reply(200, `{"states":{}}`)
			case forgot && strings.HasSuffix(r.URL.Path, "/batch-reserve"):
				return reply(200, `{"reserved":[]}`)
			case forgot && finish:
				return reply(404, `{"message":"no such job"}`)
			}
			return next.RoundTrip(r)
		})
	}
}

// A pod that waits for a job that Buildkite doesn't know any more (its pipeline
// was deleted) waits for nothing.
func TestUnknownJobIsDeleted(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) { w.sleep(time.Hour, p.kill) }
		job := w.build(1)[0]
		gone, finishes := false, 0
		r := w.start("  pending-timeout: 1m\n", w.forgets(&gone, &finishes))
		time.Sleep(20 * time.Second)
		w.mu.Lock()
		gone = true
		w.mu.Unlock()
		time.Sleep(2 * time.Minute)
		w.mu.Lock()
		if w.deleted[contract.KjobName(contract.JobID(job.ID), 1)].IsZero() {
			t.Error("the kjob is still there")
		}
		w.mu.Unlock()
		r.end(w)
	})
}

// A job that Buildkite lists, and that it doesn't know when it is to be
// finished: it is asked once, and not again before its state is another one.
func TestUnknownJobIsFinishedOnce(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		job := w.build(1)[0]
		gone, finishes := false, 0
		r := w.start("", w.forgets(&gone, &finishes))
		w.await("finished", time.Minute, w.finished(1))
		w.mu.Lock()
		gone = true
		w.mu.Unlock()
		id := contract.JobID(job.ID)
		q := r.queues["default"]
		q.claims.know(id, "", time.Now())
		for range 3 {
			if err := q.finish(w.ctx, id, decide.Decision{Action: decide.Finish, ExitStatus: -1, Text: "x"}, &decide.Facts{}); err != nil {
				t.Error(err)
			}
			time.Sleep(10 * time.Second)
		}
		if finishes != 1 {
			t.Errorf("%d requests to finish it, want 1", finishes)
		}
		r.end(w)
	})
}

// Where Buildkite refuses a question for a job that it doesn't know, many such jobs take
// several questions: what each has found counts, though it fails.
func TestManyUnknownJobsAreDeleted(t *testing.T) {
	inWorld(t, simulator.Config{Profile: assumptions.Profile{UnknownJobState: assumptions.UnknownJobStateRefused}}, func(w *world) {
		const unknown, known = 200, 5
		w.runs = func(w *world, p *pod) { w.sleep(time.Hour, p.kill) }
		for _, j := range w.build(known) {
			w.attempt(j.ID, 1)
		}
		for n := range unknown {
			w.attempt(fmt.Sprintf("00000000-0000-4000-8000-%012d", n), 1)
		}
		r := w.start("  pending-timeout: 1h\n")
		w.await("the unknown ones are deleted", 2*time.Minute, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return len(w.deleted) == unknown
		})
		r.end(w)
	})
}
