package scheduler

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

const namespace = "builds"

// world is Buildkite and Kubernetes in one bubble: the simulator, client-go's
// fake clientset, and in it a Job controller and a kubelet that are just good
// enough. It keeps the invariants that no test may break.
type world struct {
	*testing.T
	sim  *simulator.Simulator
	kube *fake.Clientset
	ctx  context.Context

	// runs says what the pod of an attempt does; nil is ran.
	runs func(w *world, p *pod)
	// podAfter is how long the Job controller takes for a pod.
	podAfter time.Duration
	// resumeLag is how long the Job controller takes to notice that a kjob was
	// resumed.
	resumeLag time.Duration
	// quota is the most pods that there may be, 0 for no limit.
	quota int
	// onCreate may refuse a create, before or after it is applied.
	onCreate func(k *batchv1.Job) (before, after error)
	// onDryRun may refuse a dry run.
	onDryRun func(k *batchv1.Job) error

	mu      sync.Mutex
	wg      sync.WaitGroup
	uid     int
	pods    map[string]*pod // by kjob name
	creates int             // requests that reached the API server
	made    map[string]time.Time
	deleted map[string]time.Time
	most    int // unfinished kjobs at a time, warm ones apart
	twice   []string
	writes  map[string]int // by verb and resource
}

// pod is one kjob's pod.
type pod struct {
	w       *world
	kjob    string
	id      contract.JobID
	attempt int
	kill    chan struct{} // closed when the kjob is deleted or the pod is to go
	once    sync.Once
}

var (
	jobsGVR = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	podsGVR = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// inWorld runs a test in a bubble. The simulator's books must be in order at
// its end.
func inWorld(t *testing.T, conf simulator.Config, f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		conf.RequestLog = 100_000
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(ctx, t, simulator.New(conf))
		f(w)
		if vs := w.sim.Violations(); len(vs) > 0 {
			t.Errorf("the ledger has violations: %+v", vs)
		}
		if len(w.twice) > 0 {
			t.Errorf("two unfinished kjobs for one job: %v", w.twice)
		}
		cancel()
		w.wg.Wait()
		w.sim.Close()
		synctest.Wait()
	})
}

func newWorld(ctx context.Context, t *testing.T, sim *simulator.Simulator) *world {
	w := &world{
		T: t, sim: sim, kube: fake.NewSimpleClientset(), ctx: ctx, //nolint:staticcheck // the newer one tracks managed fields, slowly
		pods: map[string]*pod{}, made: map[string]time.Time{}, deleted: map[string]time.Time{}, writes: map[string]int{},
	}
	w.kube.PrependReactor("create", "jobs", w.reactCreate)
	w.kube.PrependReactor("delete", "jobs", w.reactDelete)
	w.kube.PrependReactor("patch", "jobs", w.reactPatch)
	w.kube.PrependReactor("*", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		verb := a.GetVerb()
		if dryRun(a) {
			verb = "try"
		}
		w.mu.Lock()
		w.writes[verb+" "+a.GetResource().Resource]++
		w.mu.Unlock()
		return false, nil, nil
	})
	return w
}

// elsewhere is another cluster, with the same Buildkite.
func (w *world) elsewhere() *world {
	other := newWorld(w.ctx, w.T, w.sim)
	w.wg.Go(func() {
		<-w.ctx.Done()
		other.wg.Wait()
	})
	return other
}

func dryRun(a k8stesting.Action) bool {
	create, ok := a.(k8stesting.CreateActionImpl)
	return ok && len(create.CreateOptions.DryRun) > 0
}

func (w *world) reactCreate(a k8stesting.Action) (bool, runtime.Object, error) {
	k := a.(k8stesting.CreateAction).GetObject().(*batchv1.Job)
	w.mu.Lock()
	defer w.mu.Unlock()
	if dryRun(a) {
		if w.onDryRun != nil {
			return true, k, w.onDryRun(k)
		}
		return true, k, nil
	}
	w.creates++
	var before, after error
	if w.onCreate != nil {
		before, after = w.onCreate(k)
	}
	if before != nil {
		return true, nil, before
	}
	w.uid++
	k = k.DeepCopy()
	k.UID, k.CreationTimestamp = types.UID(fmt.Sprint("uid-", w.uid)), metav1.Now()
	if err := w.kube.Tracker().Create(jobsGVR, k, namespace); err != nil {
		return true, nil, err
	}
	w.made[k.Name] = time.Now()
	id := kjob.IDOf(k.Labels)
	if id != "" {
		p := &pod{w: w, kjob: k.Name, id: id, attempt: kjob.AttemptOf(k), kill: make(chan struct{})}
		w.pods[k.Name] = p
		w.check(id)
		w.wg.Go(func() { p.live(k) })
	}
	return true, k, after
}

// check keeps the count of unfinished kjobs and of those that share a job.
// Callers hold w.mu.
func (w *world) check(id contract.JobID) {
	list, _ := w.kube.Tracker().List(jobsGVR, batchv1.SchemeGroupVersion.WithKind("Job"), namespace)
	all, same := 0, 0
	for _, k := range list.(*batchv1.JobList).Items {
		if kjob.IDOf(k.Labels) == "" || kjob.Finished(&k) || k.Annotations["test/lost"] != "" {
			continue
		}
		all++
		if kjob.IDOf(k.Labels) == id {
			same++
		}
	}
	w.most = max(w.most, all)
	if same > 1 {
		w.twice = append(w.twice, id.String())
	}
}

// reactPatch merges annotations, at once as the API server does; the fake clientset reads,
// and then writes what may have changed since.
func (w *world) reactPatch(a k8stesting.Action) (bool, runtime.Object, error) {
	patch, in := a.(k8stesting.PatchAction), batchv1.Job{}
	if err := json.Unmarshal(patch.GetPatch(), &in); err != nil {
		return true, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	o, err := w.kube.Tracker().Get(jobsGVR, namespace, patch.GetName())
	if err != nil {
		return true, nil, err
	}
	k := o.(*batchv1.Job).DeepCopy()
	if in.UID != "" && in.UID != k.UID {
		return true, nil, conflict(k.Name)
	}
	maps.Copy(k.Annotations, in.Annotations)
	return true, k, w.kube.Tracker().Update(jobsGVR, k, namespace)
}

func (w *world) reactDelete(a k8stesting.Action) (bool, runtime.Object, error) {
	name := a.(k8stesting.DeleteAction).GetName()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deleted[name] = time.Now()
	if p := w.pods[name]; p != nil {
		p.stop()
	}
	return false, nil, nil
}

func (p *pod) stop() { p.once.Do(func() { close(p.kill) }) }

// live is the Job controller and the kubelet of one kjob.
func (p *pod) live(k *batchv1.Job) {
	w := p.w
	if !w.sleep(50*time.Millisecond+w.podAfter, p.kill) {
		return
	}
	if !w.letIn(p) {
		return
	}
	obj := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Name: p.kjob + "-x", Namespace: namespace, Labels: k.Spec.Template.Labels, CreationTimestamp: metav1.Now(), UID: types.UID(p.kjob),
		OwnerReferences: []metav1.OwnerReference{{Kind: "Job", Name: p.kjob, UID: k.UID}},
	}, Status: corev1.PodStatus{Phase: corev1.PodPending}}
	_ = w.kube.Tracker().Create(podsGVR, obj, namespace)
	run := w.runs
	if run == nil {
		run = ran
	}
	run(w, p)
	select {
	case <-p.kill: // a deleted kjob takes its pod along
		_ = w.kube.Tracker().Delete(podsGVR, namespace, p.kjob+"-x")
	default:
	}
}

// sleep is false when the world or the pod ends first.
func (w *world) sleep(d time.Duration, kill <-chan struct{}) bool {
	select {
	case <-time.After(d):
		return true
	case <-kill:
		return false
	case <-w.ctx.Done():
		return false
	}
}

// set changes the pod.
func (p *pod) set(f func(*corev1.Pod)) {
	o, err := p.w.kube.Tracker().Get(podsGVR, namespace, p.kjob+"-x")
	if err != nil {
		return
	}
	obj := o.(*corev1.Pod).DeepCopy()
	f(obj)
	_ = p.w.kube.Tracker().Update(podsGVR, obj, namespace)
}

// start gives the pod a node and a running container.
func (p *pod) start() {
	p.set(func(o *corev1.Pod) {
		o.Spec.NodeName, o.Status.Phase = "node-1", corev1.PodRunning
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
	})
}

// end ends the pod; a nil message is a pod that left no word.
func (p *pod) end(code int, why string, m *contract.Message) {
	p.set(func(o *corev1.Pod) {
		t := &corev1.ContainerStateTerminated{ExitCode: int32(code), Reason: why, StartedAt: metav1.Now(), FinishedAt: metav1.Now()}
		if m != nil {
			m.ExitCode, m.JobID, m.Attempt = code, p.id, p.attempt
			t.Message = string(m.Encode())
		}
		for _, c := range o.Status.ContainerStatuses {
			if r := c.State.Running; r != nil {
				t.StartedAt = r.StartedAt
			}
		}
		o.Status.Phase = corev1.PodSucceeded
		if code != 0 {
			o.Status.Phase = corev1.PodFailed
		}
		o.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, State: corev1.ContainerState{Terminated: t}}}
	})
	if m == nil { // lost, no message is left: another kjob may follow while this one is unfinished
		p.setKjob(func(k *batchv1.Job) { k.Annotations["test/lost"] = "yes" })
	}
	if p.w.sleep(800*time.Millisecond, p.kill) {
		p.finishKjob(code == 0)
	}
}

func (p *pod) finishKjob(ok bool) {
	p.setKjob(func(k *batchv1.Job) {
		c := batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}
		if ok {
			c = batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}
		}
		c.LastTransitionTime = metav1.Now()
		k.Status.Conditions = append(k.Status.Conditions, c)
	})
}

func (p *pod) setKjob(f func(*batchv1.Job)) {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	o, err := p.w.kube.Tracker().Get(jobsGVR, namespace, p.kjob)
	if err != nil {
		return
	}
	k := o.(*batchv1.Job).DeepCopy()
	f(k)
	_ = p.w.kube.Tracker().Update(jobsGVR, k, namespace)
}

// deleteKjob deletes a kjob, marked as cancelled unless why is empty, and stops its pod.
func (w *world) deleteKjob(name, why string) {
	w.mu.Lock()
	p := w.pods[name]
	w.mu.Unlock()
	if why != "" {
		p.setKjob(func(k *batchv1.Job) { k.Annotations[contract.AnnotationCancel] = why })
	}
	_ = w.kube.Tracker().Delete(jobsGVR, namespace, name)
	p.stop()
}

// ran is a pod that runs its job for a second and reports it.
func ran(w *world, p *pod) {
	if !w.sleep(300*time.Millisecond, p.kill) {
		return
	}
	p.start()
	a, err := w.acquire(p.id)
	if err != nil {
		p.end(contract.ExitRejected, "Error", &contract.Message{Outcome: contract.OutcomeRejected, Reason: err.Error()})
		return
	}
	w.sleep(time.Second, p.kill)
	a.finish(0)
	zero := 0
	p.end(0, "Completed", &contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero})
}

// agent is a runner that has a job.
type agent struct {
	w              *world
	id             contract.JobID
	session, token string
}

func (w *world) call(method, path, token string, in any) (int, map[string]any) {
	b, _ := json.Marshal(in)
	r, err := http.NewRequestWithContext(w.ctx, method, "http://buildkite.test/v3/"+path, bytes.NewReader(b))
	if err != nil {
		return 0, nil
	}
	r.Header.Set("Authorization", "Token "+token)
	r.Header.Set("Content-Type", "application/json")
	resp, err := w.sim.Transport().RoundTrip(r)
	if err != nil {
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	var out map[string]any
	_ = json.Unmarshal(body, &out)
	return resp.StatusCode, out
}

func (w *world) acquire(id contract.JobID) (*agent, error) {
	a, err := w.acquireOnly(id)
	if err == nil {
		w.call("PUT", "jobs/"+id.String()+"/start", a.token, map[string]any{"started_at": time.Now().UTC().Format(time.RFC3339Nano)})
	}
	return a, err
}

// queueOf is a job's queue by Buildkite's key, as the pod's tags have it.
func (w *world) queueOf(id contract.JobID) string {
	j, known := w.sim.Job(id.String())
	if !known {
		return "default"
	}
	return j.Queue
}

// acquireOnly doesn't start the job.
func (w *world) acquireOnly(id contract.JobID) (*agent, error) {
	_, reg := w.call("POST", "register", simulator.DefaultAgentToken, map[string]any{"name": "pod", "meta_data": []string{"queue=" + w.queueOf(id)}, "ignore_in_dispatches": true})
	session, _ := reg["access_token"].(string)
	w.call("POST", "connect", session, nil)
	status, job := w.call("PUT", "jobs/"+id.String()+"/acquire", session, nil)
	if status != 200 {
		w.call("POST", "disconnect", session, nil)
		return nil, fmt.Errorf("acquire: %d %v", status, job["message"])
	}
	token, _ := job["token"].(string)
	return &agent{w, id, session, token}, nil
}

func (a *agent) finish(status int) {
	a.w.call("PUT", "jobs/"+a.id.String()+"/finish", a.token, map[string]any{
		"exit_status": fmt.Sprint(status), "finished_at": time.Now().UTC().Format(time.RFC3339Nano), "chunks_failed_count": 0,
	})
	a.w.call("POST", "disconnect", a.session, nil)
}

// build schedules n jobs and returns when.
func (w *world) build(n int) []simulator.Job {
	w.Helper()
	b, err := w.sim.CreateBuild(simulator.BuildRequest{Pipeline: fmt.Appendf(nil, "steps: [{command: make, parallelism: %d}]", n)})
	if err != nil {
		w.Fatal(err)
	}
	var out []simulator.Job
	for _, j := range w.sim.Jobs() {
		if j.BuildNumber == b.Number {
			out = append(out, j)
		}
	}
	return out
}

// running is a scheduler at work.
type running struct {
	*Scheduler
	stop context.CancelFunc
	done chan error
}

// start runs a scheduler; config is YAML put under the one queue "default".
func (w *world) start(text string, change ...func(*Options)) *running {
	w.Helper()
	o := Options{
		Kube: w.kube, Version: "test", Transport: w.sim.Transport(), Token: stacks.Token(simulator.DefaultAgentToken),
		Load: func() (*config.Config, error) {
			return config.Parse([]byte("endpoint: http://buildkite.test/v3\ncreate-workers: 16\nqueues:\n- name: default\n"+text), namespace)
		},
	}
	if os.Getenv("ONEJOB_TEST_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	r := &running{New(o), cancel, make(chan error, 1)}
	w.wg.Go(func() { r.done <- r.Run(ctx) })
	return r
}

// end drains the scheduler and wants it to have gone well.
func (r *running) end(w *world) {
	w.Helper()
	began := time.Now()
	r.stop()
	if err := <-r.done; err != nil {
		w.Errorf("Run: %v", err)
	}
	if d := time.Since(began); d > 10*time.Second {
		w.Errorf("the drain took %s", d)
	}
}

// await wants a condition within a time, and returns how long it took.
func (w *world) await(what string, within time.Duration, cond func() bool) time.Duration {
	w.Helper()
	began := time.Now()
	for !cond() {
		if time.Since(began) > within {
			w.Fatalf("after %s: not %s; jobs: %v", within, what, w.sim.JobsIn())
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}

func (w *world) finished(n int) func() bool {
	return func() bool { return w.sim.JobsIn()[simulator.StateFinished] >= n }
}

// kjobs are the kjobs of a job that were ever made.
func (w *world) kjobs(id string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name := range w.made {
		if strings.Contains(name, id) {
			n++
		}
	}
	return n
}

func (w *world) job(id string) simulator.Job {
	w.Helper()
	j, ok := w.sim.Job(id)
	if !ok {
		w.Fatalf("no job %s", id)
	}
	return j
}

var errTorn = errors.New("connection reset by peer")

func unavailable() error { return apierrors.NewServiceUnavailable("down") }

var errQuota = errors.New("exceeded quota: jobs, requested: count/jobs.batch=1, used: count/jobs.batch=10, limited: count/jobs.batch=10")

func conflict(name string) error {
	return apierrors.NewConflict(schema.GroupResource{Group: "batch", Resource: "jobs"}, name, errors.New("the object has been modified"))
}
