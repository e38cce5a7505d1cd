package scheduler

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/simulator"
)

// buildsOf schedules one job for each name of a pipeline.
func (w *world) buildsOf(pipelines ...string) {
	w.Helper()
	for _, slug := range pipelines {
		step := "{command: make}"
		if slug == "strange" {
			step = "{command: make, agents: {queue: default, os: windows}}"
		}
		if _, err := w.sim.CreateBuild(simulator.BuildRequest{Slug: slug, Pipeline: []byte("steps: [" + step + "]")}); err != nil {
			w.Fatal(err)
		}
	}
}

// With pipeline-metrics, what becomes of jobs is counted by pipeline, too: as many
// pipelines have a name as may, in the order in which they were seen, and the rest is
// other. Nothing is lost: the sums are those of the queue.
func TestPipelineMetrics(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		gk := batchv1.SchemeGroupVersion.WithKind("Job").GroupKind()
		w.onCreate = func(k *batchv1.Job) (error, error) {
			if k.Annotations[contract.AnnotationPipeline] == "refused" {
				return apierrors.NewInvalid(gk, k.Name, nil), nil
			}
			return nil, nil
		}
		path := filepath.Join(t.TempDir(), "onejob.yaml")
		set := func(most int) {
			doc := fmt.Sprintf("endpoint: http://buildkite.test/v3\npipeline-metrics: %d\nqueues: [{name: default, unmatched: fail}]\n", most)
			if err := os.WriteFile(path, []byte(doc), 0o600); err != nil {
				t.Error(err)
			}
		}
		set(3)
		w.buildsOf("api", "api", "refused", "other", "strange", "docs", "api", "web")
		if err := w.sim.SetQueuePaused("default", true); err != nil {
			t.Fatal(err)
		}
		r := w.start("", func(o *Options) { o.Load = func() (*config.Config, error) { return config.Load(path, namespace) } })
		time.Sleep(10 * time.Second)
		if d := cmp.Diff(map[string]float64{"api default": 3, "other default": 3, "refused default": 1, "strange default": 1}, r.metric("onejob_pipeline_jobs")); d != "" {
			t.Errorf("the jobs that wait (-want +got):\n%s", d)
		}
		if s := r.metric("onejob_pipeline_oldest_wait_seconds")["api default"]; s < 9 || s > 11 {
			t.Errorf("the oldest of one pipeline waits for %v s, want 10", s)
		}
		if err := w.sim.SetQueuePaused("default", false); err != nil {
			t.Fatal(err)
		}
		w.await("finished", 2*time.Minute, w.finished(8))
		time.Sleep(time.Minute)
		want := map[string]float64{"none api default finished": 3, "none other default finished": 3, "finish refused default admission": 1, "finish strange default unmatched": 1}
		if d := cmp.Diff(want, r.metric("onejob_pipeline_decisions_total")); d != "" {
			t.Errorf("the decisions (-want +got):\n%s", d)
		}
		if d := cmp.Diff(map[string]float64{"api default": 0, "other default": 0, "refused default": 0, "strange default": 0}, r.metric("onejob_pipeline_jobs")); d != "" {
			t.Errorf("no job waits (-want +got):\n%s", d)
		}
		r.pipelinesAddUp(t)

		set(0)
		time.Sleep(time.Minute)
		r.namesNoPipeline(t)
		r.end(w)
	})
}

// pipelinesAddUp: of each thing that is counted of a queue the pipelines have their parts.
func (r *running) pipelinesAddUp(t *testing.T) {
	t.Helper()
	decisions, phases := map[string]float64{}, map[string]uint64{}
	for labels, n := range r.metric("onejob_pipeline_decisions_total") {
		l := strings.Fields(labels)
		decisions[l[0]+" "+l[2]+" "+l[3]] += n
	}
	for labels, n := range r.observed("onejob_pipeline_phase_seconds") {
		l := strings.Fields(labels)
		phases[l[0]+" "+l[2]] += n
	}
	if d := cmp.Diff(r.metric("onejob_decisions_total"), decisions); d != "" {
		t.Errorf("the queue's decisions, and the sum of its pipelines (-want +got):\n%s", d)
	}
	if d := cmp.Diff(r.observed("onejob_phase_seconds"), phases); d != "" || phases["reserved default"] < 7 {
		t.Errorf("the queue's phases, and the sum of its pipelines (-want +got):\n%s%v", d, phases)
	}
}

func (r *running) namesNoPipeline(t *testing.T) {
	t.Helper()
	families, _ := r.metrics.Registry.Gather()
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "onejob_pipeline_") {
			t.Errorf("there is %s", f.GetName())
		}
	}
}

// Without the setting, and of a queue that is served no more, no pipeline is named.
func TestPipelineMetricsAreOffByDefault(t *testing.T) {
	inWorld(t, simulator.Config{}, func(w *world) {
		w.buildsOf("api", "web")
		r := w.start("")
		w.await("finished", time.Minute, w.finished(2))
		time.Sleep(time.Minute)
		r.namesNoPipeline(t)
		r.end(w)
	})
}

// A look takes a while, in which the limit may change.
func TestPipelineLimitChangesDuringALook(t *testing.T) {
	for most, want := range map[int]int{0: 0, 1: 1} {
		m := NewMetrics()
		m.pipelines.limit(2)
		waits := pipelineWaits{}
		for _, name := range []string{"api", "web", "docs"} {
			m.pipelines.add(waits, name, time.Now())
		}
		m.pipelines.limit(most)
		m.pipelines.wait("default", waits)
		if got := (&running{Scheduler: &Scheduler{metrics: m}}).metric("onejob_pipeline_jobs"); len(got) != want {
			t.Errorf("with a limit of %d there is %v", most, got)
		}
	}
}

// However many pipelines there are, the metrics stay as many as the limit says.
func TestPipelineMetricsAreBounded(t *testing.T) {
	m := NewMetrics()
	ps := m.pipelines
	ps.limit(10)
	for i := range 5000 {
		waits := pipelineWaits{}
		name := fmt.Sprint("pipeline-", i)
		ps.add(waits, name, time.Now())
		ps.wait("default", waits)
		ps.took("default", name, phaseReserved, 1)
		ps.decided("default", name, "none", "finished")
	}
	r := &running{Scheduler: &Scheduler{metrics: m}}
	for name, n := range map[string]int{
		"onejob_pipeline_jobs": len(r.metric("onejob_pipeline_jobs")), "onejob_pipeline_oldest_wait_seconds": len(r.metric("onejob_pipeline_oldest_wait_seconds")),
		"onejob_pipeline_phase_seconds": len(r.observed("onejob_pipeline_phase_seconds")), "onejob_pipeline_decisions_total": len(r.metric("onejob_pipeline_decisions_total")),
	} {
		if n != 11 {
			t.Errorf("%s has %d series, want ten and other", name, n)
		}
	}
	if got := r.metric("onejob_pipeline_decisions_total")["none other default finished"]; got != 4990 {
		t.Errorf("%v of other pipelines, want 4990", got)
	}
	m.forget("default")
	if n := len(r.metric("onejob_pipeline_jobs")); n > 0 {
		t.Errorf("of a queue that is served no more %d gauges are left", n)
	}
}
