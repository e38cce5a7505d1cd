package scheduler

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// The page gets what became of each attempt, though the first kjob is gone and
// the scheduler another one by the time of the last.
func TestWholeStory(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) {
			w.sleep(300*time.Millisecond, p.kill)
			p.start()
			p.end(contract.ExitExhausted, "Error", &contract.Message{Outcome: contract.OutcomeExhausted, Reason: fmt.Sprintf("reason %d", p.attempt)})
			_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
		}
		id := w.build(1)[0].ID
		const config = "  max-attempts: 3\n"
		r := w.start(config)
		w.await("a second kjob", time.Minute, func() bool { return w.kjobs(id) == 2 })
		r.end(w)
		_ = w.kube.Tracker().Delete(jobsGVR, namespace, "onejob-"+id)
		r = w.start(config)
		w.await("finished", 5*time.Minute, w.finished(1))
		k, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, "onejob-"+id+"-3", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if lines := decide.ParseHistory(k.Annotations[contract.AnnotationStory]); len(lines) != 2 {
			t.Errorf("the third kjob tells of %q, want of two attempts", lines)
		}
		const want = "gave up after 3 attempts, none of which acquired the job: attempt 1 could not reach Buildkite: reason 1; attempt 2 could not reach Buildkite: reason 2; attempt 3 could not reach Buildkite: reason 3"
		if f := w.job(id).StackFinish; f == nil || f.Detail != want {
			t.Errorf("finish: %+v, want %s", f, want)
		}
		r.end(w)
	})
}

// However many attempts there are, a finish has room for the first few and the
// last.
func TestStoryIsBounded(t *testing.T) {
	var s decide.History
	for n := 1; n <= 100; n++ {
		s = s.With(decide.Past{Reason: decide.ReasonLost, Attempt: n, Text: fmt.Sprintf("attempt %d\n\t%s", n, strings.Repeat("é", 1000))})
	}
	if got := decide.ParseHistory(s.Annotation()); len(got) != decide.StoryFirst+1+decide.StoryLast || got[decide.StoryFirst].Text != decide.StoryGap {
		t.Fatalf("%d lines: %q", len(got), got)
	}
	if text := s.String(); len(text) > stacks.MaxDetail || !strings.HasPrefix(text, "attempt 1 ") || !strings.Contains(text, "; attempt 4 ") || !strings.Contains(text, "; …; attempt 91 ") || !strings.Contains(text, "; attempt 100 ") {
		t.Errorf("%d bytes: %s", len(text), text)
	}
	if len(decide.ParseHistory("")) != 0 {
		t.Error("no annotation is no story")
	}
}
