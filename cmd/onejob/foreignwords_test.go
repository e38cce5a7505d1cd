package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	batchclient "k8s.io/client-go/kubernetes/typed/batch/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/stacks"
)

// kueue is a cluster's batch API, with a Kueue that says words of each of its Workloads.
type kueue struct {
	batchclient.BatchV1Interface
	rest rest.Interface
}

func (k kueue) RESTClient() rest.Interface { return k.rest }

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func withKueue(t *testing.T, client *fake.Clientset, words string) kube.Client {
	t.Helper()
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		var v any = map[string]any{"kind": "APIGroup", "name": "kueue.x-k8s.io", "preferredVersion": map[string]string{"version": "v1beta2"}}
		if strings.HasSuffix(r.URL.Path, "/workloads") {
			v = map[string]any{"items": []any{map[string]any{"status": map[string]any{"conditions": []any{map[string]string{"type": "QuotaReserved", "status": "False", "message": words}}}}}}
		}
		b, err := json.Marshal(v)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(b)), Request: r}, err
	})
	real, err := kube.NewClient(&rest.Config{Host: "http://cluster.test", Transport: rt})
	if err != nil {
		t.Fatal(err)
	}
	return kube.Clientset{Batch: kueue{client.BatchV1(), real.BatchV1().RESTClient()}, Core: client.CoreV1(), Coordination: client.CoordinationV1()}
}

// printing is a context of a command whose output is out.
func printing(format string, out io.Writer) *cli.Context {
	app := cli.NewApp()
	app.Writer, app.Metadata = out, map[string]any{}
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	flags.String("output", format, "")
	return cli.NewContext(app, flags, nil)
}

// FuzzTerminal prints what explain, jobs and sizes have to say of a job about which everybody
// else says words: jobs, kubelets, controllers, Kueue, pipelines. Nothing that a terminal takes
// for a command is printed, in no format.
func FuzzTerminal(f *testing.F) {
	f.Add([]byte(`{"contract":1,"outcome":"rejected","exit_code":27,"reason":"\u0000\u009b2J"}`), "a\x1b[2Jb\u009b31m", 0)
	f.Add([]byte(`{"contract":1,"outcome":"x\u001b[2J\u001b]52;c;Y3VybA==\u0007","exit_code":70,"phases":[{"name":"\u202e","start":"2001-09-09T01:46:00Z","seconds":1}]}`), "\u202egpj", 1)
	f.Add([]byte(`{"contract":1,"outcome":"finished","exit_status":0,"use":{"memory_peak":5,"cpu_seconds":1.5}}`), "é\u2028\r\n\x7f", 2)
	f.Add([]byte("x\x00\xff\u009b31m\n"), `Successfully pulled image "a\x1b" in 1s (2s including waiting). Image size: 5 bytes.`, 3)
	f.Fuzz(func(t *testing.T, message []byte, words string, state int) {
		k, pod, es := aJobOf(t, message, words, state)
		objects := []runtime.Object{k, pod}
		for i := range es {
			objects = append(objects, &es[i])
		}
		client := withKueue(t, fake.NewClientset(objects...), words)
		story, err := operate.Explain(t.Context(), client, nil, "builds", contract.SampleJobID, decide.Policy{MaxAttempts: 1 + state&4, PendingTimeout: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		rows, err := operate.List(t.Context(), client, "builds", "")
		if err != nil || len(rows) == 0 {
			t.Fatal(rows, err)
		}
		sizes := operate.Sizes(rows)
		for _, format := range []string{"table", "wide", "json", "yaml"} {
			var out bytes.Buffer
			c := printing(format, &out)
			for _, err := range []error{
				print(c, story, func(w io.Writer, _ bool) { tellStory(w, story) }), print(c, sizes, func(w io.Writer, _ bool) { sizesTable(w, sizes) }),
				print(c, rows, func(w io.Writer, wide bool) { jobsTable(w, rows, wide) }),
			} {
				if err != nil {
					t.Error(err)
				}
			}
			if s := out.String(); !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) {
				t.Errorf("%s: %q", format, s)
			}
		}
	})
}

// aJobOf is a Kubernetes Job with its pod and Events, about which words are said in each place
// where Kubernetes lets somebody say some.
func aJobOf(t *testing.T, message []byte, words string, state int) (*batchv1.Job, *corev1.Pod, []corev1.Event) {
	t.Helper()
	c, err := config.Parse([]byte("queues:\n- name: default\n"), "builds")
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := kjob.Parse(nil, c.Queues[0])
	if err != nil {
		t.Fatal(err)
	}
	k, err := kjob.New(stacks.Job{ID: contract.SampleJobID, Pipeline: words, Branch: words, Step: words, Build: 1}, 1, tpl, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{contract.AnnotationPipeline, contract.AnnotationBranch, contract.AnnotationStep, contract.AnnotationCancel, contract.AnnotationStory, contract.AnnotationJobURL, contract.AnnotationNodeFaults} {
		k.Annotations[key] = words
	}
	now := metav1.NewTime(time.Unix(1e9, 0))
	k.UID, k.CreationTimestamp = "k", now
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: k.Name + "-x", Namespace: k.Namespace, Labels: k.Labels, CreationTimestamp: now, Annotations: map[string]string{contract.AnnotationImage: words},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: k.Name, UID: k.UID, Controller: ptr.To(true)}}},
		Spec: corev1.PodSpec{NodeName: "node"}, Status: corev1.PodStatus{Phase: corev1.PodPending, Reason: words, Message: words,
			Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: words, LastTransitionTime: now}}},
	}
	ended := func(name, why string) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: name, Image: words, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: 1, Reason: why, Message: string(message), StartedAt: metav1.NewTime(now.Add(-time.Minute)), FinishedAt: now}}}
	}
	switch state & 3 {
	case 0: // Kueue holds it
		k.Spec.Suspend, k.Labels["kueue.x-k8s.io/queue-name"], pod.Labels = ptr.To(true), "q", map[string]string{}
		pod.OwnerReferences = nil
	case 1: // its images can't be pulled
		wait := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: words}}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: words, State: wait}, {Name: contract.CommandContainer, Image: words, State: wait}}
	case 2:
		pod.Status.Phase, pod.Status.Reason, pod.Status.Message = corev1.PodSucceeded, "", ""
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{ended(contract.AgentContainer, "Completed"), ended(contract.CommandContainer, "Error")}
	case 3:
		pod.Status.Phase = corev1.PodFailed
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{ended(contract.StepInit, words)}
		pod.Status.ContainerStatuses = []corev1.ContainerStatus{ended(contract.AgentContainer, words), ended("sidecar", words)}
		k.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: words, Message: words, LastTransitionTime: now}}
	}
	var es []corev1.Event
	for i, of := range []corev1.ObjectReference{{Kind: "Job", Name: k.Name}, {Kind: "Pod", Name: pod.Name}} {
		for j, e := range []corev1.Event{
			{Reason: words, Source: corev1.EventSource{Component: words}}, {Reason: "FailedCreate", Source: corev1.EventSource{Component: "job-controller"}},
			{Reason: "Failed", Source: corev1.EventSource{Component: "kubelet"}}, {Reason: "Pulled", Source: corev1.EventSource{Component: "kubelet"}}, {Reason: "JobNotice", Source: corev1.EventSource{Component: contract.ManagedBy}},
		} {
			e.ObjectMeta, e.InvolvedObject, e.Message, e.Type, e.LastTimestamp = metav1.ObjectMeta{Name: fmt.Sprint("e-", i, "-", j), Namespace: k.Namespace}, of, words, corev1.EventTypeWarning, now
			es = append(es, e)
		}
	}
	return k, pod, es
}
