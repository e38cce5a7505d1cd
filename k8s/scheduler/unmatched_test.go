package scheduler

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// buildOf schedules the jobs of a pipeline.
func (w *world) buildOf(pipeline string) []string {
	w.Helper()
	b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte(pipeline)})
	if err != nil {
		w.Fatal(err)
	}
	return b.JobIDs
}

// noQueueTakes begins what an unmatched job's page says.
const noQueueTakes = "no queue of this onejob installation takes this job: "

// tagsNobodyHas are two jobs with a tag that no queue has.
const tagsNobodyHas = `steps:
- {label: big, command: "true", agents: {queue: default, resource_class: large}}
- {label: arm, command: "true", agents: {queue: default, arch: arm64}}
`

func (w *world) saysUnmatched(ids []string) {
	w.Helper()
	want := [][]string{
		{noQueueTakes + "queue default lacks the tag resource_class=large, and offers resource_class=small. Change the step's agents, or add the tag to the queue (tags in onejob.yaml)"},
		{noQueueTakes + "queue default lacks the tag arch=arm64, and offers no arch. Change the step's agents, or add the tag to the queue (tags in onejob.yaml)"},
	}
	if d := cmp.Diff(want, [][]string{w.page(ids[0]), w.page(ids[1])}); d != "" {
		w.Errorf("their pages (-want +got):\n%s", d)
	}
}

// The page of a job with a tag that no queue has says so within a minute, and
// once, whoever leads; so do explain, an Event and the metrics.
func TestUnmatchedIsTold(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		const tags = "  tags: [os=linux, resource_class=small]\n"
		var ids []string
		for leader := range 3 {
			r := w.start(tags)
			if leader == 0 {
				time.Sleep(2 * time.Minute)
				ids = w.buildOf(tagsNobodyHas)
			}
			time.Sleep(time.Minute)
			w.saysUnmatched(ids)
			if got := r.metric("onejob_queue_unmatched_jobs")["default"]; got != 2 {
				t.Errorf("leader %d: %v unmatched jobs are counted, want 2", leader, got)
			}
			want := map[string]float64{}
			if leader == 0 {
				want["none default unmatched"] = 2
			}
			if d := cmp.Diff(want, r.metric("onejob_decisions_total")); d != "" {
				t.Errorf("leader %d: the decisions (-want +got):\n%s", leader, d)
			}
			time.Sleep(10 * time.Minute)
			r.end(w)
		}
		w.saysUnmatched(ids)
		told := strings.Join(w.page(ids[0]), "\n")
		found, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+ids[0])
		if err != nil || len(found) != 1 || found[0].Reason != events.Unmatched || found[0].Message != told {
			t.Errorf("the Events %+v, %v; want one with the page's words", found, err)
		}
		own := configuredQueue(t, tags)
		s := w.explain(ids[0], true)
		if s.AskTags(w.ctx, w.client(), own, []config.Queue{own}); s.Now != told || s.Advice != operate.AdviceUnmatched {
			t.Errorf("explain says %q, %q", s.Now, s.Advice)
		}
		if s := w.explain(ids[0], false); !strings.Contains(s.Now, "lacks the tag resource_class=large") {
			t.Errorf("explain without a token says %q", s.Now)
		}
		rows, err := operate.ListUnmatched(w.ctx, w.client(), own, []config.Queue{own})
		if err != nil || len(rows) != 2 || rows[0].Phase != "unmatched" || rows[0].JobID.String() != ids[0] || !strings.Contains(told, ": "+rows[0].Reason+". ") || rows[0].Queue != "default" {
			t.Errorf("jobs has %+v, %v", rows, err)
		}
		if sent := w.sim.Count("stacks_notify"); sent > 2 {
			t.Errorf("%d calls notified of two jobs", sent)
		}
	})
}

// The page names the value, or the queue, that comes closest.
func TestUnmatchedNamesTheClosest(t *testing.T) {
	queues := func(tags ...[]string) (out []config.Queue) {
		for i, t := range tags {
			out = append(out, config.Queue{Name: []string{"default", "big", "mac"}[i], Tags: t})
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		rules  []string
		queues []config.Queue
		want   string
	}{
		{"matched", []string{"os=linux"}, queues([]string{"os=linux"}), ""},
		{"other values", []string{"gpu=a100"}, queues([]string{"gpu=t4", "gpu=l4"}, []string{"gpu=h100"}), noQueueTakes + "queue default lacks the tag gpu=a100, and offers gpu=t4, gpu=l4. "},
		{"two tags", []string{"gpu=a100", "os=mac"}, queues([]string{"os=linux"}), noQueueTakes + "queue default lacks the tags gpu=a100, os=mac, and offers no gpu. "},
		{"another queue's value", []string{"gpu=a100"}, queues([]string{"os=linux"}, []string{"gpu=t4"}), noQueueTakes + "queue default lacks the tag gpu=a100; queue big offers gpu=t4. "},
		{"another queue", []string{"queue=default", "os=mac"}, queues([]string{"os=linux"}, nil, []string{"os=mac"}),
			noQueueTakes + "queue default lacks the tag os=mac; queue mac has all that it asks for. Ask for queue=mac in the step's agents"},
		{"what no page shows", []string{"a\x00\x1b[31m=b"}, queues(nil), noQueueTakes + "queue default lacks the tag a??[31m=b, and offers no a??[31m. "},
	} {
		got := config.Unmatched(tt.rules, tt.queues[0], tt.queues)
		if !strings.HasPrefix(got, tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.name, got, tt.want)
		}
	}
	long := strings.Repeat("long-", 60)
	all := []config.Queue{{Name: long, Tags: []string{long + "=1", long + "=2", "os=linux"}}, {Name: long + "2", Tags: []string{"zone=*"}}}
	for _, rules := range [][]string{{long + "=x" + long, "os=mac"}, {"a=1", "b=2", "c=3", "d=4", "e=5"}, {"os=" + long}, {"zone=" + long}} {
		for _, own := range all {
			got := config.Unmatched(rules, own, all)
			if stacks.Match(rules, own.Tags) {
				continue
			}
			if len(got) > stacks.MaxNotification || !strings.HasSuffix(got, "onejob.yaml)") && !strings.HasSuffix(got, "in the step's agents") {
				t.Errorf("%d characters, want at most %d, with what to do at the end: %q", len(got), stacks.MaxNotification, got)
			}
		}
	}
}

// With `fail` the job is ended with the same words, once it is ours; with
// `ignore` nothing is said. A change of the setting takes effect at once.
func TestUnmatchedFailsOrIsIgnored(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		path := filepath.Join(t.TempDir(), "onejob.yaml")
		set := func(unmatched string) {
			doc := "endpoint: http://buildkite.test/v3\nqueues: [{name: default, tags: [resource_class=small], unmatched: " + unmatched + "}]\n"
			if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
				t.Error(err)
			}
		}
		set("ignore")
		ids := w.buildOf(tagsNobodyHas)
		r := w.start("", func(o *Options) { o.Load = func() (*config.Config, error) { return config.Load(path, namespace) } })
		time.Sleep(2 * time.Minute)
		if page := append(w.page(ids[0]), w.page(ids[1])...); len(page) > 0 || w.sim.Count("stacks_reserve") > 0 {
			t.Errorf("ignored, but the pages say %q, after %d reservations", page, w.sim.Count("stacks_reserve"))
		}
		if got := r.metric("onejob_queue_unmatched_jobs")["default"]; got != 2 {
			t.Errorf("%v unmatched jobs are counted, want 2", got)
		}
		set("fail")
		w.await("failed", time.Minute, w.finished(2))
		for _, id := range ids {
			j := w.job(id)
			if f := j.StackFinish; f == nil || f.ExitStatus != -1 || !strings.HasPrefix(f.Detail, noQueueTakes) || len(w.page(id)) > 0 {
				t.Errorf("finished with %+v, and the page says %q", f, w.page(id))
			}
		}
		if got := r.metric("onejob_decisions_total")["finish default unmatched"]; got != 2 {
			t.Errorf("%v are counted as finished, want 2", got)
		}
		if n := w.sim.Count("stacks_reserve"); n != 1 {
			t.Errorf("%d calls reserved two jobs, want 1", n)
		}
		r.end(w)
	})
}

// A job that somebody else takes soon is neither told nor failed: another stack
// at the same queue of Buildkite's, or an agent that isn't onejob's.
func TestUnmatchedTakenByOthers(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("  unmatched: fail\n")
		time.Sleep(time.Minute)
		other := w.start("", func(o *Options) {
			o.Load = func() (*config.Config, error) {
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\nstack: other\nqueues: [{name: default, tags: [arch=arm64, gpu=t4], unmatched: ignore}]\n"), namespace)
			}
		})
		ids := append(w.buildWith("arch=arm64", 5), w.buildWith("os=mac", 1)...)
		ids = append(ids, w.buildWith("os=plan9", 1)...)
		time.Sleep(15 * time.Second) // agents may take a while
		a, err := w.acquire(contract.JobID(ids[5]))
		if err != nil {
			t.Fatal(err)
		}
		third, err := stacks.New(stacks.Config{Endpoint: "http://buildkite.test/v3", Token: stacks.Token(simulator.DefaultAgentToken), Stack: "third", Queue: "default", Transport: w.sim.Transport()})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := third.Register(w.ctx, nil); err != nil {
			t.Fatal(err)
		}
		if got, err := third.Reserve(w.ctx, []contract.JobID{contract.JobID(ids[6])}, 2*time.Minute); len(got) != 1 || err != nil {
			t.Fatalf("reserved %q, %v", got, err)
		}
		w.await("run by the other stack", time.Minute, w.finished(5))
		w.await("offered again", 3*time.Minute, func() bool { return w.job(ids[6]).State == simulator.StateScheduled })
		time.Sleep(15 * time.Second)
		b, err := w.acquire(contract.JobID(ids[6]))
		if err != nil {
			t.Fatal(err)
		}
		a.finish(0)
		b.finish(0)
		for _, id := range ids {
			if j := w.job(id); len(j.Notifications) > 0 || j.StackFinish != nil || j.State != simulator.StateFinished {
				t.Errorf("the job is %s; its page says %q, %+v", j.State, w.page(id), j.StackFinish)
			}
		}
		other.end(w)
		r.end(w)
	})
}

// A queue that is looked at once a minute tells it at the second look.
func TestUnmatchedOfASlowQueue(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("", func(o *Options) {
			o.Load = func() (*config.Config, error) {
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\nidle-interval: 1m\nqueues:\n- name: default\n"), namespace)
			}
		})
		time.Sleep(10 * time.Minute)
		ids := w.buildWith("gpu=t4", 1)
		w.await("told", 3*time.Minute, func() bool { return len(w.page(ids[0])) == 1 })
		r.end(w)
	})
}

// Two queues of the configuration may be one of Buildkite's, by another name: a job
// that one of them takes is not unmatched for the other, even while it waits for a slot.
func TestUnmatchedByOneOfTwoQueues(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(*world, *pod) {} // pending for ever
		r := w.start("  unmatched: fail\n- {name: __default__, tags: [gpu=t4], max-in-flight: 1, unmatched: fail}\n")
		ids := append(w.buildWith("gpu=t4", 2), w.buildWith("gpu=a100", 1)...)
		w.await("failed", time.Minute, w.finished(1))
		time.Sleep(2 * time.Minute)
		for i, id := range ids {
			if j := w.job(id); (j.StackFinish != nil) != (i == 2) || len(j.Notifications) > len(w.places(id)) {
				t.Errorf("job %d is %s, finished with %+v; its page says %q", i, j.State, j.StackFinish, w.page(id))
			}
		}
		if got := r.metric("onejob_queue_unmatched_jobs")["default"]; got != 0 {
			t.Errorf("%v unmatched jobs are counted, want 0", got)
		}
		r.end(w)
	})
}

// A job with a kjob is left alone, though the queue has its tag no more: its pod
// may be about to get it. When somebody deletes the kjob, the next attempt is made all
// the same, and the page says nothing else.
func TestUnmatchedWithKjobIsLeftAlone(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(w *world, p *pod) { w.sleep(24*time.Hour, p.kill) }
		tags := "os=mac"
		r := w.start("", func(o *Options) {
			o.Load = func() (*config.Config, error) {
				return config.Parse([]byte("endpoint: http://buildkite.test/v3\nqueues: [{name: default, pending-timeout: 1h, tags: ["+tags+"]}]\n"), namespace)
			}
		})
		id := w.buildWith("os=mac", 1)[0]
		w.await("its kjob", 10*time.Second, func() bool { return w.kjobs(id) == 1 })
		tags = "os=linux"
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_reserve", Status: 503, Until: 5 * time.Minute})
		w.await("listed again", 2*time.Minute, func() bool { return w.job(id).State == simulator.StateScheduled })
		time.Sleep(2 * time.Minute)
		told := func() bool { return strings.Contains(strings.Join(w.page(id), "\n"), noQueueTakes) }
		if told() {
			t.Errorf("its page says %q", w.page(id))
		}
		if err := w.kube.BatchV1().Jobs(namespace).Delete(w.ctx, "onejob-"+id, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		w.await("the next attempt", 5*time.Minute, func() bool {
			_, err := w.kube.BatchV1().Jobs(namespace).Get(w.ctx, contract.KjobName(contract.JobID(id), 2), metav1.GetOptions{})
			return err == nil
		})
		if told() {
			t.Errorf("its page says %q", w.page(id))
		}
		r.end(w)
	})
}

// Many are told without a call for each, and not all at once; that some are
// refused, or the endpoint is away, repeats nothing for ever and holds up no other.
func TestManyUnmatched(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.sim.AddFault(simulator.Fault{Endpoint: "stacks_notify", Status: 503, Until: 20 * time.Second})
		b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, parallelism: 3000, agents: {queue: default, size: big}}]")})
		if err != nil {
			t.Fatal(err)
		}
		r := w.start("")
		time.Sleep(70 * time.Second)
		untold := slices.DeleteFunc(slices.Clone(b.JobIDs), func(id string) bool { return len(w.page(id)) == 1 })
		if len(untold) > 0 {
			t.Errorf("%d of 3000 pages say nothing after 70 s", len(untold))
		}
		if n := w.sim.Count("stacks_notify"); n > 60 {
			t.Errorf("%d calls notified of them", n)
		}
		if err := w.sim.CancelBuild(b.Number); err != nil {
			t.Fatal(err)
		}
		time.Sleep(unmatchedLife + time.Minute)
		q := r.queues["default"]
		r.end(w)
		if n := len(q.unmatched); n > 0 {
			t.Errorf("%d jobs are remembered that were listed %s ago", n, unmatchedLife)
		}
	})
}

// What Buildkite refuses to show on a job's page is not sent for ever.
func TestUnmatchedRefused(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		refused := 0
		r := w.start("", func(o *Options) {
			o.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if strings.HasSuffix(req.URL.Path, "/notifications") {
					refused++
					body := io.NopCloser(strings.NewReader(`{"errors":[{"error":"job is not reserved","indexes":[0]}]}`))
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: req}, nil
				}
				return w.sim.Transport().RoundTrip(req)
			})
		})
		ids := w.buildWith("gpu=t4", 1)
		time.Sleep(10 * time.Minute)
		events, err := events.On(w.ctx, w.kube, namespace, "Job", "onejob-"+ids[0])
		if refused > 2 || err != nil || len(events) != 1 {
			t.Errorf("sent %d times, and %d Events, %v; want it in one Event", refused, len(events), err)
		}
		r.end(w)
	})
}

// A job that Buildkite doesn't reserve for us is not ours to fail: its page is told.
func TestUnmatchedNotReserved(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		tries := 0
		r := w.start("  unmatched: fail\n", func(o *Options) {
			o.Transport = roundTrip(func(req *http.Request) (*http.Response, error) {
				if strings.HasSuffix(req.URL.Path, "/batch-reserve") {
					tries++
					body := io.NopCloser(strings.NewReader(`{"reserved":[]}`))
					return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: req}, nil
				}
				return w.sim.Transport().RoundTrip(req)
			})
		})
		id := w.buildWith("gpu=t4", 1)[0]
		time.Sleep(10 * time.Minute)
		if j := w.job(id); j.StackFinish != nil || len(j.Notifications) != 1 || tries > 20 {
			t.Errorf("after %d tries: finished with %+v, the page says %q; want it told once", tries, j.StackFinish, w.page(id))
		}
		r.end(w)
	})
}

// A job that may be another's of ours is left alone while that one isn't served, or has
// not registered: it may be the same queue of Buildkite's by another name.
func TestUnmatchedWhileAnotherQueueIsNotServed(t *testing.T) {
	for _, says := range []string{"fail", "notify"} {
		for what, keys := range map[string]string{"a template that is not there": "template: {file: /nonexistent}, ", "not registered": ""} {
			t.Run(says+", "+what, func(t *testing.T) {
				inWorld(t, simulator.Config{}, func(w *world) {
					w.runs = ran
					if keys == "" {
						w.sim.AddFault(simulator.Fault{Endpoint: "stacks_register", Contains: "__default__", Status: 503})
					}
					r, set := w.configured("- {name: default, unmatched: " + says + "}\n- {name: __default__, " + keys + "tags: [gpu=t4]}\n")
					ids := append(w.buildWith("gpu=t4", 2), w.buildWith("gpu=a100", 1)...)
					time.Sleep(3 * time.Minute)
					for _, id := range ids[:2] {
						if j := w.job(id); j.State != simulator.StateScheduled || len(w.page(id)) > 0 {
							t.Errorf("the job is %s, its page says %q, %+v", j.State, w.page(id), j.StackFinish)
						}
					}
					if j := w.job(ids[2]); j.StackFinish == nil && len(w.page(ids[2])) != 1 {
						t.Errorf("the page of the one that nobody takes says %q, it is %s", w.page(ids[2]), j.State)
					}
					set("- {name: default, unmatched: " + says + "}\n")
					w.await("told, or failed", time.Minute, func() bool {
						return w.job(ids[0]).StackFinish != nil || len(w.page(ids[0])) == 1
					})
					r.end(w)
				})
			})
		}
	}
}

// Of two names of one of Buildkite's queues, one tells.
func TestUnmatchedIsToldByOneOfTwoQueues(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("- {name: __default__, tags: [gpu=t4]}\n")
		id := w.buildWith("gpu=a100", 1)[0]
		time.Sleep(2 * time.Minute)
		if page := w.page(id); len(page) != 1 || !strings.Contains(page[0], "gpu=t4") {
			t.Errorf("its page says %q, want one line", page)
		}
		r.end(w)
	})
}

// A queue that is paused for long remembers no job that was listed long ago.
func TestUnmatchedOfAPausedQueue(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		r := w.start("")
		time.Sleep(10 * time.Second)
		w.sim.SetQueuePaused("default", true)
		b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make, parallelism: 500, agents: {queue: default, size: big}}]")})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if err := w.sim.CancelBuild(b.Number); err != nil {
			t.Fatal(err)
		}
		time.Sleep(unmatchedLife + time.Minute)
		q := r.queues["default"]
		r.end(w)
		if n := len(q.unmatched); n > 0 {
			t.Errorf("%d jobs are remembered", n)
		}
	})
}

// A job for which another attempt was announced gets it, though the queue has its tag no
// more: it was the queue's, and its page says so.
func TestRetagKeepsWhatWasAnnounced(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.runs = func(_ *world, p *pod) {
			p.start()
			p.end(contract.ExitExhausted, "Error", &contract.Message{Outcome: contract.OutcomeExhausted, Reason: "no answer"})
		}
		const queue = "- {name: default, max-attempts: 5, unmatched: fail, tags: [os=%s]}\n"
		r, set := w.configured(fmt.Sprintf(queue, "mac"))
		id := w.buildWith("os=mac", 1)[0]
		w.await("3 kjobs", 5*time.Minute, func() bool { return w.kjobs(id) == 3 })
		set(fmt.Sprintf(queue, "linux"))
		w.await("finished", 10*time.Minute, w.finished(1))
		r.end(w)
		if f := w.job(id).StackFinish; w.kjobs(id) != 5 || f == nil || !strings.HasPrefix(f.Detail, "gave up after 5 attempts") {
			t.Errorf("%d kjobs, finished with %+v; want that it gave up after 5", w.kjobs(id), f)
		}
	})
}
