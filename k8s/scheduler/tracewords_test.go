package scheduler

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/stacks"
)

// FuzzTraceWords takes what jobs, kubelets and pipelines say into the attributes of traces: they
// are printable and short, and no number of theirs is out of all bounds.
func FuzzTraceWords(f *testing.F) {
	f.Add([]byte(`{"contract":1,"outcome":"rejected","exit_code":27,"agent":"\u0000\u009b2J","tries":{"acquire":9000000000000}}`), "a\x1b[2Jb\u009b31m", 0)
	f.Add([]byte(`{"contract":1,"outcome":"x\u001b[2J","exit_code":70,"signal_reason":"\u202e","phases":[{"name":"acquire","start":"9000-01-01T00:00:00Z","seconds":1e300}]}`), `Pulled image "\u202egpj"`, 1)
	f.Add([]byte(`{"contract":1,"outcome":"finished","exit_status":-5,"traceparent":"\u0000","phases":[{"name":"acquire","start":"2001-09-09T01:46:00Z","seconds":1}],"tries":{"acquire":9000000000000}}`), "\xff", 2)
	var tpl *kjob.Template
	f.Fuzz(func(t *testing.T, message []byte, words string, state int) {
		if tpl == nil {
			c, err := config.Parse([]byte("queues:\n- name: default\n"), "builds")
			if err != nil {
				t.Fatal(err)
			}
			if tpl, err = kjob.Parse(nil, c.Queues[0]); err != nil {
				t.Fatal(err)
			}
		}
		q := &queue{name: "default"}
		q.set.Store(&settings{template: tpl})
		k, err := kjob.New(stacks.Job{ID: contract.SampleJobID, Pipeline: words, Branch: words, Step: words, Build: 1}, 1, tpl, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{contract.AnnotationPipeline, contract.AnnotationBranch, contract.AnnotationStep, contract.AnnotationBuild, contract.AnnotationPriority} {
			k.Annotations[key] = words
		}
		now := time.Unix(1e9, 0)
		pod := &corev1.Pod{Spec: corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{Phase: corev1.PodFailed, ContainerStatuses: []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: words,
			State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Reason: words, Message: string(message), StartedAt: metav1.NewTime(now.Add(-time.Minute)), FinishedAt: metav1.NewTime(now)}}}}}}
		states := []stacks.State{stacks.StateReserved, stacks.StateRunning, stacks.StateFinished, stacks.StateUnknown}
		facts := decide.Facts{Now: now, State: states[uint(state)%4], StateAt: now, ToldAt: now, EndedAt: now, Attempt: 1, KJob: decide.OfJob(k), Pod: decide.OfPod(pod), Policy: decide.Policy{MaxAttempts: 1 + state&4}}
		facts.KJob.Finished = true
		seen := &cache.Job{Object: cache.Object{ObjectMeta: k.ObjectMeta, ID: contract.SampleJobID}, Job: kjob.JobOf(k), Made: now}
		own, _ := resultOf(decide.On(facts), facts)
		all := append(q.about(seen, facts), own...)
		for _, s := range spansOf(way{}, seen, &cache.Pod{Pod: facts.Pod, Started: now}, facts) {
			if took := s.To.Sub(s.From); strings.HasSuffix(s.Name, "acquire") && took > 2*time.Minute {
				t.Errorf("%s took %s", s.Name, took)
			}
			all = append(append(all, s.Attributes...), attribute.String("name", s.Name))
		}
		all = append(all, imageOf(events.TakeIn(corev1.Event{Message: words}))...)
		for _, a := range all {
			s := a.Value.String()
			if !utf8.ValidString(s) || len(s) > 2*contract.MaxSentence || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q", a.Key, s)
			}
			if n := a.Value.AsInt64(); a.Key == "http.request.resend_count" && (n < 0 || n > 1000) {
				t.Errorf("%s: %d", a.Key, n)
			}
		}
	})
}
