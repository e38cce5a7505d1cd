package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/operate"
)

const nobodys = "018f0000-0000-7000-8000-00000000000a"

// reacquire makes an attempt where that is right, and says why where it isn't;
// no scheduler runs.
func TestReacquire(t *testing.T) {
	l := aLab(t)
	ids := l.jobs(4)

	r := run(t, "reacquire", "--dry-run", "-o", "yaml", ids[0], ids[1])
	r.wants(t, 0)
	docs := strings.Split(r.out, "\n---\n")
	for i, doc := range docs {
		var k batchv1.Job
		if err := yaml.UnmarshalStrict([]byte(doc), &k); err != nil || k.Name != "onejob-"+ids[i] || k.Namespace != l.namespace {
			t.Errorf("document %d is %s, %v", i, k.Name, err)
		}
	}
	if len(docs) != 2 || len(l.kjobs()) != 0 {
		t.Errorf("%d documents for two jobs; the dry run has made %d kjobs", len(docs), len(l.kjobs()))
	}

	// One of three IDs is nobody's: the others are made all the same.
	run(t, "reacquire", ids[0], nobodys, ids[1], "--queue", "default").wants(t, 1, "onejob-"+ids[0], "onejob-"+ids[1], nobodys+": Buildkite doesn't know the job")
	if n := len(l.kjobs()); n != 2 {
		t.Errorf("%d kjobs, want 2", n)
	}
	run(t, "reacquire", ids[0]).wants(t, 1, "attempt 1 (onejob-"+ids[0]+") is", "--force replaces it", "/builds/1#"+ids[0])
	run(t, "reacquire", "--token-file", "/nowhere", ids[0]).wants(t, 1, "Buildkite can't be asked", "may have the job")
	run(t, "reacquire", "--queue", "gpu", ids[0]).wants(t, 2, `no queue "gpu" in the configuration, it has default`)
	run(t, "reacquire", "--force", "-o", "yaml", ids[0]).wants(t, 0, "deleting onejob-"+ids[0], "name: onejob-"+ids[0]+"-2", "apiVersion: batch/v1", "kind: Job")

	done := make(chan result)
	go func() { done <- run(t, "reacquire", "--wait", ids[2], ids[3]) }()
	zero := 0
	for _, id := range []string{ids[3], ids[2]} { // the second doesn't wait for the first one's end
		l.ends(id, contract.Message{Outcome: contract.OutcomeFinished, ExitStatus: &zero, Attempt: 1})
	}
	r = <-done
	r.wants(t, 0, "onejob-"+ids[2]+"  done finished, exit status 0", "onejob-"+ids[3]+"  done finished, exit status 0")

	l.must(l.sim.CancelBuild(1))
	run(t, "reacquire", ids[1]).wants(t, 1, "the job is over", "retry it on Buildkite", "/builds/1#"+ids[1])
}

// waiting for an attempt that fails is a failure.
func TestReacquireWaitFails(t *testing.T) {
	l := aLab(t)
	id := l.jobs(1)[0]
	done := make(chan result)
	go func() { done <- run(t, "reacquire", "--wait", id) }()
	l.ends(id, contract.Message{ExitCode: contract.ExitRejected, Outcome: contract.OutcomeRejected, Reason: "taken by another agent", Attempt: 1})
	l.await("a failed kjob", func() bool {
		ks := l.kjobs()
		return len(ks) == 1 && len(ks[0].Status.Conditions) > 0
	})
	(<-done).wants(t, 1, "taken by another agent")
}

func TestJobs(t *testing.T) {
	l := aLab(t)
	run(t, "jobs", "-o", "json").wants(t, 0, "[]")
	ids := l.jobs(2)
	run(t, append([]string{"reacquire"}, ids...)...).wants(t, 0)
	l.ends(ids[1], contract.Message{ExitCode: contract.ExitRejected, Outcome: contract.OutcomeRejected, Reason: "taken", Attempt: 1})
	l.await("finished kjob", func() bool {
		return strings.Contains(run(t, "jobs").out, "ended") && !strings.Contains(run(t, "jobs", "--unfinished").out, ids[1])
	})

	run(t, "jobs").wants(t, 0, "JOB", "ATTEMPT", "REASON", ids[0], "rejected: taken")
	run(t, "jobs", "--unfinished").wants(t, 0, ids[0])
	run(t, "jobs", "-o", "wide").wants(t, 0, "NAMESPACE", "URL", l.namespace, "demo", "/builds/1#"+ids[0])
	var rows []operate.Row
	if err := json.Unmarshal([]byte(run(t, "jobs", "-o", "json").out), &rows); err != nil || len(rows) != 2 {
		t.Errorf("-o json: %d rows, %v", len(rows), err)
	}
	rows = nil
	if err := yaml.UnmarshalStrict([]byte(run(t, "jobs", "-o", "yaml").out), &rows); err != nil || len(rows) != 2 || rows[0].Queue != "default" || rows[0].Attempt != 1 {
		t.Errorf("-o yaml: %+v, %v", rows, err)
	}
	run(t, "jobs", "-A").wants(t, 1, "forbidden", "cluster scope")
	run(t, "jobs", "-n", "default").wants(t, 1, `forbidden`, `namespace "default"`)
	run(t, "jobs", "-A", "--kubeconfig", l.cluster.KubeconfigPath).wants(t, 0, ids[0])
	run(t, "jobs", "--kubeconfig", l.cluster.KubeconfigPath, "--namespace", l.namespace).wants(t, 0, ids[0])
	run(t, "jobs", "--kubeconfig", l.cluster.KubeconfigPath, "--as", "system:serviceaccount:"+l.namespace+":operator", "-n", l.namespace).wants(t, 0, ids[0])
	run(t, "jobs", "--context", "onejob", "--cluster", "onejob", "--user", "onejob").wants(t, 0, ids[0])
	run(t, "jobs", "--context", "nowhere").wants(t, 2, `context "nowhere" does not exist`)
	run(t, "jobs", "--server", "https://127.0.0.1:1").wants(t, 1, "connection refused")
}

// --watch lists again until it is stopped, which is its normal end.
func TestJobsWatch(t *testing.T) {
	l := aLab(t)
	ctx, stop := context.WithCancel(t.Context())
	app := newApp()
	var out safeBuffer
	app.Writer, app.ErrWriter = &out, &out
	done := make(chan int)
	go func() { done <- exitCode(&out, app.RunContext(ctx, []string{"onejob", "jobs", "--watch"})) }()
	l.await("a first list", func() bool { return strings.Contains(out.String(), "JOB") })
	id := l.jobs(1)[0]
	run(t, "reacquire", id).wants(t, 0)
	l.await("the new kjob in a later list", func() bool { return strings.Contains(out.String(), id) })
	stop()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
}

type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}
func (s *safeBuffer) String() string { s.mu.Lock(); defer s.mu.Unlock(); return s.b.String() }

func TestExplain(t *testing.T) {
	l := aLab(t)
	ids := l.jobs(2)
	id := ids[0]
	run(t, "explain", id).wants(t, 0, "unknown (Buildkite doesn't know this job", "check that a scheduler serves the queue")
	run(t, "reacquire", ids[1]).wants(t, 0) // registers the stack, as a scheduler does
	run(t, "explain", id).wants(t, 0, "scheduled", "waits for a free slot", "onejob reacquire")
	run(t, "reacquire", id).wants(t, 0)
	l.await("told by Kubernetes", func() bool { return strings.Contains(run(t, "explain", id).out, "SuccessfulCreate") })
	run(t, "explain", "https://buildkite.com/acme/demo/builds/1#"+id).wants(t, 0, "reserved", "made onejob-"+id+" for attempt 1", "now", "do")
	var story operate.Story
	r := run(t, "explain", "-o", "json", id)
	if err := json.Unmarshal([]byte(r.out), &story); err != nil || story.JobID.String() != id || len(story.Attempts) != 1 || len(story.Lines) < 3 {
		t.Errorf("-o json: %v, %+v", err, story)
	}
	t.Setenv("ONEJOB_CONFIG", "")
	run(t, "explain", id).wants(t, 0, "no token or configuration given", "onejob-"+id)
}

func TestCancel(t *testing.T) {
	l := aLab(t)
	id := l.jobs(1)[0]
	run(t, "cancel", id).wants(t, 1, "no unfinished Kubernetes Job in namespace "+l.namespace)
	run(t, "reacquire", id).wants(t, 0)
	run(t, "cancel", "--dry-run", id).wants(t, 0, "onejob-"+id)
	mark := func() string {
		ks := l.kjobs()
		if len(ks) != 1 {
			t.Fatalf("%d kjobs; they are the scheduler's to delete", len(ks))
		}
		return ks[0].Annotations[contract.AnnotationCancel]
	}
	if got := mark(); got != "" {
		t.Errorf("the dry run has marked the kjob: %s", got)
	}
	run(t, "cancel", "--reason", "wrong branch", id).wants(t, 0, "onejob-"+id)
	if got := mark(); !strings.HasSuffix(got, ": wrong branch") {
		t.Errorf("the kjob is marked with %q", got)
	}
	run(t, "explain", id).wants(t, 0, "the job will be finished: cancelled in Kubernetes by", "wrong branch")
}

func TestDeregister(t *testing.T) {
	l := aLab(t)
	id := l.jobs(1)[0]
	run(t, "deregister").wants(t, 1, "which stacks are this installation's is not known", "--lease-namespace", "--stack")
	run(t, "deregister", "--lease", "onejob").wants(t, 0, "there is nothing to deregister")
	run(t, "explain", id).wants(t, 0, "the installation's stacks are not known, onejob-default is taken for the first")
	lease, err := l.admin.CoordinationV1().Leases(l.namespace).Create(t.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "onejob"}}, metav1.CreateOptions{})
	l.must(err)
	sum := sha256.Sum256([]byte(lease.UID))
	key := fmt.Sprintf("onejob-%x-default", sum[:4])
	run(t, "reacquire", id).wants(t, 0)
	if got := l.sim.Stacks(); len(got) != 1 || got[0].Key != key {
		t.Errorf("the stacks are %+v, want %s alone", got, key)
	}
	run(t, "explain", id).wants(t, 0, "reserved")
	run(t, "deregister", "--dry-run").wants(t, 0, key)
	if l.sim.Count("stacks_deregister") != 0 {
		t.Error("the dry run has deregistered the stack")
	}
	run(t, "deregister", "--queue", "default").wants(t, 0, key)
	if l.sim.Count("stacks_deregister") != 1 || l.sim.Stacks()[0].State != "disconnected" {
		t.Errorf("%d requests to deregister, want 1: %+v", l.sim.Count("stacks_deregister"), l.sim.Stacks())
	}
	run(t, "deregister", "--stack", "onejob-default").wants(t, 0, "onejob-default")
	run(t, "deregister", "--token-file", "/nowhere").wants(t, 1, "queue default")
}

// A scheduled job can be rendered by its ID.
func TestRenderScheduled(t *testing.T) {
	l := aLab(t)
	ids := l.jobs(2)
	id := ids[0]
	run(t, "render", id).wants(t, 1, "A scheduler registers the stack when it first serves the queue")
	run(t, "reacquire", ids[1]).wants(t, 0) // registers the stack, as a scheduler does
	run(t, "render", id).wants(t, 0, "name: onejob-"+id, "onejob.dev/pipeline: demo", "namespace: "+l.namespace, "onejob.dev/job-url: https://buildkite.com/", "/demo/builds/1#"+id)
	run(t, "render", ids[1]).wants(t, 0, "name: onejob-"+ids[1], "job "+ids[1]+" is not among the queue's scheduled jobs")
}

// lint --ask-cluster names all that the API server would refuse, in every
// queue, and makes nothing.
func TestLintAsksCluster(t *testing.T) {
	l := aLab(t)
	_, err := l.admin.CoreV1().ResourceQuotas(l.namespace).Create(t.Context(), &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Name: "memory"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourceRequestsMemory: resource.MustParse("1Gi")}},
	}, metav1.CreateOptions{})
	l.must(err)
	l.await("counted", func() bool {
		q, err := l.admin.CoreV1().ResourceQuotas(l.namespace).Get(t.Context(), "memory", metav1.GetOptions{})
		return err == nil && len(q.Status.Hard) > 0
	})
	config := func(queues string) string { return write(t, "queues:\n"+queues) }
	bad := config(`
- {name: privileged, template: {inline: {spec: {containers: [{name: agent, securityContext: {privileged: true, allowPrivilegeEscalation: true}}]}}}}
- {name: account, template: {inline: {spec: {serviceAccountName: nobody, containers: [{name: agent, image: x}]}}}}
- {name: class, template: {inline: {spec: {priorityClassName: nonsense, containers: [{name: agent, image: x}]}}}}
- {name: quota, template: {inline: {spec: {containers: [{name: agent, resources: {requests: {memory: 2Gi}}}]}}}}
- {name: env, trusted-pipelines: true, template: {inline: {spec: {containers: [{name: agent, image: "x:{{env.TAG}}"}], hostAliases: [{ip: nonsense}]}}}}
- {name: elsewhere, namespace: not-there}
`)
	words := []string{
		"queue privileged: its pod", "violates PodSecurity", "queue account: its pod", `serviceaccount "nobody" not found`,
		"queue class: its pod", "no PriorityClass with name nonsense", "queue quota: its pod", "exceeded quota: memory",
		"queue env: the Kubernetes Job", "must be a valid IP address", "queue elsewhere: the Kubernetes Job",
	}
	run(t, "lint", "-f", bad).wants(t, 0) // no cluster, no knowledge
	noRight := `cannot create resource "pods" in API group "" in the namespace "` + l.namespace
	run(t, "lint", "-f", bad, "--ask-cluster").wants(t, 2, noRight) // the Role for all else has none
	l.may("onejob-lint")
	l.await("bound", func() bool { return !strings.Contains(run(t, "lint", "-f", bad, "--ask-cluster").err, noRight) })
	run(t, "lint", "-f", bad, "--ask-cluster").wants(t, 2, words...)
	admin := []string{"--kubeconfig", l.cluster.KubeconfigPath, "-n", l.namespace}
	run(t, append([]string{"lint", "-f", bad, "--ask-cluster"}, admin...)...).wants(t, 2, append(words, `queue class: Secret onejob-agent-token`, `secrets "onejob-agent-token" not found`)...)

	good := config("- name: default\n  template: {inline: {spec: {containers: [{name: agent, envFrom: [{configMapRef: {name: settings}}]}]}}}\n")
	run(t, "lint", "-f", good, "--ask-cluster").wants(t, 2, `configmaps "settings" not found`, "Secret onejob-agent-token in namespace "+l.namespace+" was not checked: no right to get it")
	_, err = l.admin.CoreV1().ConfigMaps(l.namespace).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}}, metav1.CreateOptions{})
	l.must(err)
	run(t, "lint", "-f", good, "--ask-cluster").wants(t, 0, "queue default: namespace "+l.namespace, "a pipeline to try: steps: [{command: echo hello from onejob, agents: {queue: default}}]\n")
	_, err = l.admin.CoreV1().Secrets(l.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "onejob-agent-token"}, StringData: map[string]string{"tokne": "x"}}, metav1.CreateOptions{})
	l.must(err)
	run(t, append([]string{"lint", "-f", good, "--ask-cluster"}, admin...)...).wants(t, 2, `it has no key "token"`)

	volumes := config(`
- name: default
  trusted-pipelines: true
  template: {inline: {spec: {containers: [{name: agent}], volumes: [
    {name: a, projected: {sources: [{configMap: {name: projected}}, {configMap: {name: settings, items: [{key: nokey, path: x}]}}]}},
    {name: b, persistentVolumeClaim: {claimName: claimed}}, {name: c, configMap: {name: "team-{{env.TEAM}}"}}]}}}
`)
	run(t, "lint", "-f", volumes, "--ask-cluster").wants(t, 2, `configmaps "projected" not found`, `ConfigMap settings`, `it has no key "nokey"`,
		`persistentvolumeclaims "claimed" not found`, "a ConfigMap in namespace "+l.namespace+" was not checked: its name depends on the job")

	pods, err := l.admin.CoreV1().Pods(l.namespace).List(t.Context(), metav1.ListOptions{})
	l.must(err)
	if n := len(l.kjobs()) + len(pods.Items); n != 0 {
		t.Errorf("lint has made %d objects", n)
	}
}

// A template that lives in the cluster: the API server's defaults in it are
// nobody's wish, what a template can't have is refused.
func TestLintTemplateInCluster(t *testing.T) {
	l := aLab(t)
	pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "agent", Image: "agent:1"}}}
	job := func(name string, change func(*batchv1.JobSpec)) {
		k := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Suspend: ptr.To(true), Template: corev1.PodTemplateSpec{Spec: pod}}}
		change(&k.Spec)
		_, err := l.admin.BatchV1().Jobs(l.namespace).Create(t.Context(), k, metav1.CreateOptions{})
		l.must(err)
	}
	podTemplate := func(name string, restart corev1.RestartPolicy) {
		spec := pod
		spec.RestartPolicy = restart
		_, err := l.admin.CoreV1().PodTemplates(l.namespace).Create(t.Context(), &corev1.PodTemplate{
			ObjectMeta: metav1.ObjectMeta{Name: name}, Template: corev1.PodTemplateSpec{Spec: spec},
		}, metav1.CreateOptions{})
		l.must(err)
	}
	job("plain", func(*batchv1.JobSpec) {})
	job("policy", func(s *batchv1.JobSpec) {
		s.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
			Action:          batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}},
		}}}
	})
	job("many", func(s *batchv1.JobSpec) { s.Parallelism, s.Completions = ptr.To[int32](2), ptr.To[int32](4) })
	podTemplate("plain", "")
	podTemplate("again", corev1.RestartPolicyOnFailure)
	lint := func(template string) result {
		return run(t, "lint", "-f", write(t, "queues: [{name: default, template: {"+template+"}}]"))
	}
	lint("job: plain").wants(t, 0, "image agent:1")
	lint("pod-template: plain").wants(t, 0, "image agent:1")
	lint("job: policy").wants(t, 2, "spec.podFailurePolicy: can't be set")
	lint("job: many").wants(t, 2, "spec.parallelism: 2", "spec.completions: 4")
	lint("pod-template: again").wants(t, 2, "spec.template.spec.restartPolicy: OnFailure")
}
