package endtoend

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
)

func TestNotAdmitted(t *testing.T) {
	t.Parallel()
	admissions(t)
	sideBySide(t, admissionRows)
}

var admissionRows = []row{
	notYet("no-service-account", "", "", "serviceAccountName: nowhere", "", "admission",
		"the pod can't start: Kubernetes refuses the pod: ", "error looking up service account onejob/nowhere"),
	notYet("pod-security", "", "", "hostNetwork: true", "", "admission",
		"the pod can't start: Kubernetes refuses the pod: ", `violates PodSecurity "restricted:latest": host namespaces (hostNetwork=true)`),
	func() row {
		// Long enough for the Events to be read more than once: a read may fail.
		r := notYet("quota-of-pods", "{pending-timeout: 20s, suspended-timeout: 50s}", "", "", "", "admission",
			"Kubernetes did not admit the pod within 50s (suspended-timeout): Kubernetes can't create the pod yet: ", "exceeded quota: none, requested: pods=1")
		r.namespace = "rows-no-pods"
		return r
	}(),
	// Another's job has the only pod for longer than one may take to start.
	func() row {
		var first string
		return row{
			name: "quota-of-one-pod", namespace: "rows-one-pod", queue: "pending-timeout: 20s", exit: "0", kjobs: 1,
			before: func(s *scene) {
				command := strings.ReplaceAll(untilTold, "GATE", at.path())
				pipeline, err := json.Marshal(map[string]any{"steps": []any{map[string]any{"command": command, "env": map[string]any{"BUILDKITE_SKIP_CHECKOUT": "true"}}}})
				must(s, err)
				b, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: s.name, Pipeline: pipeline})
				must(s, err)
				first = b.JobIDs[0]
				s.happens("the first job runs", func() bool { j, _ := on.Simulator.Job(first); return j.State == simulator.StateRunning })
			},
			act: func(s *scene) {
				s.told("exceeded quota: none, requested: pods=1")
				time.Sleep(25 * time.Second)
				close(at.of(first))
			},
			event: "JobWaiting: waiting to start: Kubernetes can't create the pod yet: ", metric: "none/finished",
		}
	}(),
	{
		name: "policy-denies-job", namespace: "rows-policy-job", exit: "-1", signalReason: "stack_error",
		page:  []string{"Kubernetes refused the Job that the queue's template makes: ", "not this job"},
		event: "JobFinished: Kubernetes refused the Job", metric: "finish/admission",
	},
	// It denies every job that the template could make, so none ends for it.
	{name: "policy-denies", namespace: "rows-policy", act: func(s *scene) {
		s.until("the queue is stopped", func() bool {
			return strings.Contains(s.metrics(), fmt.Sprintf("onejob_queue_ready{queue=%q} 0", s.name))
		})
		s.until("the Event", func() bool {
			list, err := on.Cluster.Client().CoreV1().Events(s.namespace).List(s.ctx, metav1.ListOptions{FieldSelector: "reason=QueueStopped,involvedObject.name=onejob-queue-" + s.name})
			must(s, err)
			return slices.ContainsFunc(list.Items, func(e corev1.Event) bool {
				return strings.Contains(e.Message, "the API server refuses every job that the queue's template makes: ") && strings.Contains(e.Message, "no Jobs on Sundays")
			})
		})
		must(s, on.Simulator.CancelJob(s.id))
	}},
	{
		name: "quota-of-jobs", namespace: "rows-no-jobs", queue: "pending-timeout: 30s", exit: "0", kjobs: 1,
		act: func(s *scene) {
			s.told("waiting to be created: ")
			s.told("exceeded quota: none, requested: count/jobs.batch=1")
			s.until("the refusal is counted", func() bool {
				return s.measured("onejob_kubernetes_job_creates_total", "queue", s.name, "result", "forbidden")
			})
			time.Sleep(40 * time.Second) // longer than its pod may take to start
			must(s, on.Cluster.Client().CoreV1().ResourceQuotas(s.namespace).Delete(s.ctx, "none", metav1.DeleteOptions{}))
		},
		metric: "none/finished",
	},
	{
		name: "webhook-down", namespace: "rows-webhook", queue: "pending-timeout: 5s", exit: "-1", signalReason: "stack_error",
		page:  []string{"waiting to be created: ", "Kubernetes did not accept the Job within 5s: ", `failed calling webhook "nowhere.rows.test"`},
		event: "JobFinished: Kubernetes did not accept the Job", metric: "finish/admission",
	},
	// No Event could be written there: it is where the scheduler is.
	{name: "namespace-terminating", namespace: "rows-going", act: stopped("because it is being terminated")},
	{name: "no-role-binding", namespace: "rows-no-role", act: stopped(`cannot create resource "jobs"`)},
}

// stopped: the whole queue stops and says so, and no other does; its job waits.
func stopped(words string) func(*scene) {
	return func(s *scene) {
		s.told("waiting to be created: ")
		s.told(words)
		s.until("the queue is stopped", func() bool {
			return strings.Contains(s.metrics(), fmt.Sprintf("onejob_queue_ready{queue=%q} 0", s.name))
		})
		s.until("the refusal is counted", func() bool {
			return s.measured("onejob_kubernetes_job_creates_total", "queue", s.name, "result", "no_namespace")
		})
		s.until("the Event in the scheduler's namespace", func() bool {
			list, err := on.Cluster.Client().CoreV1().Events(fixture.Namespace).List(s.ctx, metav1.ListOptions{FieldSelector: "reason=QueueStopped,involvedObject.name=onejob-queue-" + s.name})
			must(s, err)
			return slices.ContainsFunc(list.Items, func(e corev1.Event) bool { return strings.Contains(e.Message, words) })
		})
		// A replica that has just begun to lead says 0 of every queue until it serves it.
		s.until("another queue is served", func() bool {
			return strings.Contains(s.metrics(), `onejob_queue_ready{queue="webhook-down"} 1`)
		})
		list, err := on.Cluster.Client().CoreV1().Events("rows-webhook").List(s.ctx, metav1.ListOptions{FieldSelector: "reason=QueueStopped"})
		must(s, err)
		for _, e := range list.Items {
			s.Errorf("another queue was stopped too: %s", e.Message)
		}
		must(s, on.Simulator.CancelJob(s.id))
	}
}

// admissions makes what stands in the way in each namespace.
func admissions(t *testing.T) {
	client := on.Cluster.Client()
	quota := func(namespace string, name corev1.ResourceName, most string) {
		_, err := client.CoreV1().ResourceQuotas(namespace).Create(t.Context(), &corev1.ResourceQuota{
			ObjectMeta: metav1.ObjectMeta{Name: "none"}, Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{name: resource.MustParse(most)}},
		}, metav1.CreateOptions{})
		ok(t, err)
	}
	quota("rows-no-pods", "pods", "0")
	quota("rows-one-pod", "pods", "1")
	quota("rows-no-jobs", "count/jobs.batch", "0")

	jobs := written("jobs")
	url, none, fail := "https://127.0.0.1:1/", admissionv1.SideEffectClassNone, admissionv1.Fail
	_, err := client.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "rows"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "nowhere.rows.test", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, Rules: []admissionv1.RuleWithOperations{jobs},
			NamespaceSelector: in("rows-webhook"), SideEffects: &none, FailurePolicy: &fail, AdmissionReviewVersions: []string{"v1"},
		}},
	}, metav1.CreateOptions{})
	ok(t, err)
	denies(t, "rows-policy", jobs, "false", "no Jobs on Sundays")
	// All but the one that the scheduler tries a template with.
	denies(t, "rows-policy-job", jobs, "object.metadata.labels['onejob.dev/job-id'] == '"+string(contract.SampleJobID)+"'", "not this job")

	// With finalizers that nobody removes, the namespace stays on its way out,
	// and the scheduler's rights with it; another namespace's are taken away.
	rbac := client.RbacV1()
	patch := []byte(`{"metadata":{"finalizers":["rows.test/stay"]}}`)
	_, err = rbac.Roles("rows-going").Patch(t.Context(), "onejob", types.MergePatchType, patch, metav1.PatchOptions{})
	ok(t, err)
	_, err = rbac.RoleBindings("rows-going").Patch(t.Context(), "onejob", types.MergePatchType, patch, metav1.PatchOptions{})
	ok(t, err)
	ok(t, rbac.RoleBindings("rows-no-role").Delete(t.Context(), "onejob", metav1.DeleteOptions{}))
	ok(t, client.CoreV1().Namespaces().Delete(t.Context(), "rows-going", metav1.DeleteOptions{}))
	// Plugins of the API server see new quotas and policies in their own time.
	awaitPolicy(t, "rows-policy", "rows-policy-job", "rows-no-jobs", "rows-webhook")
}

// awaitPolicy returns when what stands in the way of the namespaces' Jobs does so.
func awaitPolicy(t *testing.T, namespaces ...string) {
	for _, namespace := range namespaces {
		for !refusesJobs(t, namespace) {
			select {
			case <-t.Context().Done():
				t.Fatal(context.Cause(t.Context()))
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

func in(namespace string) *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}}
}

// written are creates and updates of Jobs ("jobs") and of their status ("jobs/status").
func written(resources ...string) admissionv1.RuleWithOperations {
	return admissionv1.RuleWithOperations{
		Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
		Rule:       admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: resources},
	}
}

// denies makes a policy of a namespace's.
func denies(t *testing.T, namespace string, what admissionv1.RuleWithOperations, unless, message string) {
	api, meta := on.Cluster.Client().AdmissionregistrationV1(), metav1.ObjectMeta{Name: namespace}
	_, err := api.ValidatingAdmissionPolicies().Create(t.Context(), &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{NamespaceSelector: in(namespace), ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: what}}},
			Validations:      []admissionv1.Validation{{Expression: unless, Message: message}},
		},
	}, metav1.CreateOptions{})
	ok(t, err)
	_, err = api.ValidatingAdmissionPolicyBindings().Create(t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: meta,
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: namespace, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{})
	ok(t, err)
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refusesJobs asks with a dry run.
func refusesJobs(t *testing.T, namespace string) bool {
	_, err := on.Cluster.Client().BatchV1().Jobs(namespace).Create(t.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "probe"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}},
		}}},
	}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err != nil
}
