package endtoend

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster/image"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/hunt"
)

// victimSecret is in the environment and in the files of another job that runs
// on the same node while the hunter hunts.
const victimSecret = "a-secret-of-another-job-6f6e656a6f62"

// TestJobFindsNoSecret: a job, in the shipped template's pod, looks for the
// agent token, for another job's secret and for a way into Kubernetes; then the
// test looks in all that people can see.
func TestJobFindsNoSecret(t *testing.T) {
	for name, of := range map[string]string{"in the runner's container": "", "in an image of the step's": image.BusyboxName} {
		t.Run(name, func(t *testing.T) { findsNoSecret(t, of) })
	}
}

func findsNoSecret(t *testing.T, of string) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	sim, kube := on.Simulator, on.Cluster.Client()
	if err := cordon(ctx, true); err != nil { // both jobs are on node-0
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cordon(context.Background(), false); err != nil {
			t.Error(err)
		}
	})
	node, err := kube.CoreV1().Nodes().Get(ctx, on.Cluster.NodeNames[0], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	untilSet := func(key string) string {
		return "for i in $(seq 200); do test \"$(buildkite-agent meta-data get " + key + " --default no)\" = yes && break; sleep 1; done"
	}
	hunter := map[string]any{
		"key": "hunter", "env": map[string]string{
			"HUNT_SECRETS":    hunt.Backwards(simulator.DefaultAgentToken) + " " + hunt.Backwards(victimSecret),
			"HUNT_API_SERVER": on.Cluster.RESTConfig().Host, "HUNT_NODE": node.Status.Addresses[0].Address,
		},
		"command": untilSet("ready") + "; env; ./hunter || true; buildkite-agent meta-data set hunted yes",
	}
	if of != "" {
		hunter["image"] = of
	}
	build := create(t, simulator.BuildRequest{Repo: on.URL + "git/hunt.git"},
		map[string]any{
			"key": "victim", "env": map[string]string{"VICTIM_SECRET": victimSecret},
			"command": "echo $VICTIM_SECRET > /builds/secret; buildkite-agent meta-data set ready yes; " + untilSet("hunted"),
		},
		hunter)
	over := func() bool { b, _ := sim.Build(build.Number); return b.Done() }
	if err := sim.Wait(ctx, over); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	log, _ := sim.Log(build.JobIDs[1])
	wanted := []string{"onejob-agent hidden=true", "onejob-run hidden=true", "control=[environ mem]"}
	unwanted := []string{"FOUND", "MOUNTED", simulator.DefaultAgentToken, victimSecret, contract.EnvToken + "="}
	if of != "" { // the runner's processes aren't even there
		wanted, unwanted = []string{"onejob-step hidden", "control=[environ mem]"}, append(unwanted, "onejob-agent hidden", "onejob-run hidden")
	}
	for _, want := range wanted {
		if !bytes.Contains(log, []byte(want)) {
			t.Errorf("the hunter's log doesn't say %q", want)
		}
	}
	for _, bad := range unwanted {
		if bytes.Contains(log, []byte(bad)) {
			t.Errorf("the hunter's log has %q", bad)
		}
	}
	answers := regexp.MustCompile(`asked as (\S+) (.*?) https://(\S+)`).FindAllSubmatch(log, -1)
	for _, a := range answers {
		if s := string(a[2]); s != "401" && s != "403" {
			t.Errorf("asked as %s for %s, the answer was %s; want 401 or 403", a[1], a[3], s)
		}
	}
	if len(answers) < 18 {
		t.Errorf("the hunter has %d answers of Kubernetes, want those of 9 URLs for nobody and at least one token", len(answers))
	}
	if t.Failed() {
		t.Logf("the hunter's log:\n%s", log)
	}

	nothingIn := func(where string, text []byte) {
		t.Helper()
		for _, secret := range []string{simulator.DefaultAgentToken, victimSecret} {
			if bytes.Contains(text, []byte(secret)) {
				t.Errorf("%s has a secret in it", where)
			}
		}
	}
	asJSON := func(what string, object any, err error) {
		t.Helper()
		b, merr := json.Marshal(object)
		if err != nil || merr != nil || len(b) < 10 {
			t.Fatalf("%s: %v %v", what, err, merr)
		}
		nothingIn(what, b)
	}
	// What is in etcd, but for the Secret itself.
	kjobs, err := kube.BatchV1().Jobs(fixture.Namespace).List(ctx, metav1.ListOptions{})
	asJSON("the kjobs", kjobs, err)
	pods, err := ended(ctx, 2)
	asJSON("the pods, their status and messages", pods, err)
	events, err := kube.CoreV1().Events(fixture.Namespace).List(ctx, metav1.ListOptions{})
	asJSON("the Events", events, err)
	configs, err := kube.CoreV1().ConfigMaps(fixture.Namespace).List(ctx, metav1.ListOptions{})
	asJSON("the ConfigMaps", configs, err)
	for _, p := range pods.Items {
		for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
			logs, err := kube.CoreV1().Pods(fixture.Namespace).GetLogs(p.Name, &corev1.PodLogOptions{Container: c.Name}).DoRaw(ctx)
			if err != nil {
				t.Error(err)
			}
			nothingIn("the log of "+p.Name+" "+c.Name, logs)
		}
		if p.Labels[contract.LabelJobID] != "" {
			keyless(t, p.Spec)
		}
	}
	rows, err := operate.List(ctx, kube, fixture.Namespace, "")
	asJSON("onejob jobs", rows, err)
	for _, id := range build.JobIDs {
		story, err := operate.Explain(ctx, kube, nil, fixture.Namespace, contract.JobID(id), decide.Policy{})
		asJSON("onejob explain", story, err)
	}
	endpoints(t, ctx, nothingIn)
	settled(t)
}

// ended waits until n pods have left a termination message, and returns all.
func ended(ctx context.Context, n int) (*corev1.PodList, error) {
	for {
		pods, err := on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		left := 0
		for _, p := range pods.Items {
			for _, c := range p.Status.ContainerStatuses {
				if c.State.Terminated != nil && c.State.Terminated.Message != "" {
					left++
				}
			}
		}
		if left >= n {
			return pods, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d pods have left a message: %w", left, n, context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// keyless wants of a pod that the token is in it by reference alone, and that
// it has no account of Kubernetes.
func keyless(t *testing.T, spec corev1.PodSpec) {
	t.Helper()
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		t.Error("a pod has its account's token mounted")
	}
	for _, v := range spec.Volumes {
		if v.EmptyDir == nil {
			t.Errorf("a pod has the volume %+v, want emptyDirs alone", v)
		}
	}
	refs := 0
	for _, c := range spec.Containers {
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				refs++
				if r := e.ValueFrom.SecretKeyRef; e.Name != contract.EnvToken || r == nil || r.Name != "onejob-agent-token" {
					t.Errorf("a pod's environment has %+v", e)
				}
			}
		}
	}
	if refs != 1 {
		t.Errorf("%d variables of a pod are references, want the token's", refs)
	}
}

// endpoints asks each scheduler for all it tells.
func endpoints(t *testing.T, ctx context.Context, nothingIn func(string, []byte)) {
	t.Helper()
	schedulers, err := on.Cluster.Client().CoreV1().Pods(fixture.Namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=scheduler"})
	if err != nil || len(schedulers.Items) != 2 {
		t.Fatalf("%d schedulers, %v", len(schedulers.Items), err)
	}
	for _, p := range schedulers.Items {
		for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/debug/pprof/": 404, "/debug/pprof/heap": 404, "/debug/pprof/cmdline": 404, "/": 200, "/?format=json": 200, "/else": 404} {
			resp, err := http.Get("http://" + p.Status.PodIP + ":8080" + path)
			if err != nil {
				t.Error(err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != want {
				t.Errorf("%s: %d, %v; want %d", path, resp.StatusCode, err, want)
			}
			nothingIn(path, body)
		}
	}
}

// TestPipelineCannotChangeItsPod: whatever a pipeline says, its jobs' pods are
// the template's; only labels and annotations under onejob.dev/ and the job's
// own ID differ. What it says by the kubernetes plugin, and may not have, makes no pod.
func TestPipelineCannotChangeItsPod(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	sim := on.Simulator
	yaml := "x\nspec:\n  hostNetwork: true\n  containers: [{name: agent, image: evil, securityContext: {privileged: true}}]\n---\n"
	podSpec := map[string]any{"hostPID": true, "containers": []any{map[string]any{"name": "agent", "image": "evil"}}}
	plain := create(t, simulator.BuildRequest{}, map[string]any{"command": "sleep 300"})
	hostile := create(t, simulator.BuildRequest{
		Branch: "main\"}}," + yaml + strings.Repeat("b", 300_000), Message: yaml, Slug: "demo{{env.EVIL}}",
		Env: map[string]string{"EVIL": yaml, contract.EnvToken: "bkct_other", contract.EnvJobID: "018f0000-0000-7000-8000-00000000000a", "ONEJOB_ON_TERM": "drain"},
	},
		map[string]any{"command": "sleep 300", "label": yaml, "env": map[string]string{contract.EnvEndpoint: "http://evil.example", "HUGE": strings.Repeat("x", 100_000)}},
		map[string]any{"command": "sleep 300", "key": "onejob.dev/queue", "priority": 1_000_000,
			"plugins": []any{map[string]any{"kubernetes": map[string]any{"podSpec": podSpec, "podSpecPatch": podSpec, "metadata": map[string]any{"labels": map[string]string{"onejob.dev/queue": "other"}}}}}},
		map[string]any{"command": "sleep 300", "label": "asks for what the queue hasn't", "agents": map[string]string{"queue": "default", "onejob.dev/image": "evil"}})
	wanted := append(plain.JobIDs, hostile.JobIDs[0])
	var kjobs []*batchv1.Job
	for _, id := range wanted {
		for {
			k, err := on.Cluster.Client().BatchV1().Jobs(fixture.Namespace).Get(ctx, "onejob-"+id, metav1.GetOptions{})
			if err == nil {
				kjobs = append(kjobs, k)
				break
			}
			select {
			case <-ctx.Done():
				t.Fatalf("%s has no kjob: %v\n%s", id, err, table())
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
	want := bare(t, kjobs[0])
	for i, k := range kjobs[1:] {
		if got := bare(t, k); !equality.Semantic.DeepEqual(got, want) {
			t.Errorf("hostile job %d has a kjob of its own kind:\n%+v\nwant\n%+v", i, got, want)
		}
	}
	if err := sim.Wait(ctx, func() bool { j, _ := sim.Job(hostile.JobIDs[1]); return j.ExitStatus == "-1" }); err != nil {
		t.Errorf("the job with a hostile plugin: %v\n%s", err, table())
	}
	if _, err := on.Cluster.Client().BatchV1().Jobs(fixture.Namespace).Get(ctx, "onejob-"+hostile.JobIDs[1], metav1.GetOptions{}); err == nil {
		t.Error("a job with a hostile plugin got a kjob")
	}
	if _, err := on.Cluster.Client().BatchV1().Jobs(fixture.Namespace).Get(ctx, "onejob-"+hostile.JobIDs[2], metav1.GetOptions{}); err == nil {
		t.Error("a job that asks for a tag which the queue hasn't got a kjob")
	}
	for _, b := range []simulator.Build{plain, hostile} {
		if err := sim.CancelBuild(b.Number); err != nil {
			t.Error(err)
		}
	}
	if err := sim.Wait(ctx, func() bool {
		p, _ := sim.Build(plain.Number)
		h, _ := sim.Build(hostile.Number)
		return p.Done() && h.Done()
	}); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	settled(t)
}

// bare is a kjob less what differs from job to job: its name, its ID, and what
// is told of it under onejob.dev/.
func bare(t *testing.T, k *batchv1.Job) *batchv1.Job {
	t.Helper()
	own := func(m map[string]string) map[string]string {
		out := map[string]string{}
		for key, v := range m {
			if strings.HasPrefix(key, "onejob.dev/") && key != contract.LabelQueue || strings.Contains(key, "controller-uid") || strings.Contains(key, "job-name") {
				continue
			}
			out[key] = v
		}
		return out
	}
	b := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Labels: own(k.Labels), Annotations: own(k.Annotations), Finalizers: k.Finalizers, OwnerReferences: k.OwnerReferences}, Spec: *k.Spec.DeepCopy()}
	b.Spec.Selector = nil
	pod := &b.Spec.Template
	pod.Labels, pod.Annotations = own(pod.Labels), own(pod.Annotations)
	for i, e := range pod.Spec.Containers[0].Env {
		if e.Name == contract.EnvJobID {
			if e.Value != k.Labels[contract.LabelJobID] || k.Name != "onejob-"+e.Value {
				t.Errorf("%s is for job %s, its label says %s", k.Name, e.Value, k.Labels[contract.LabelJobID])
			}
			pod.Spec.Containers[0].Env[i].Value = ""
		}
	}
	return b
}

// create makes a build of steps that no YAML needs to be written for.
func create(t testing.TB, r simulator.BuildRequest, steps ...map[string]any) simulator.Build {
	t.Helper()
	var err error
	if r.Pipeline, err = json.Marshal(map[string]any{"steps": steps}); err != nil {
		t.Fatal(err)
	}
	b, err := on.Simulator.CreateBuild(r)
	if err != nil {
		t.Fatal(fmt.Errorf("creating a build: %w", err))
	}
	return b
}
