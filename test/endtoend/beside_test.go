package endtoend

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// A policy of the cluster puts an ordinary container beside the agent's, which
// ends only when it is killed.
func TestBesideOthers(t *testing.T) {
	t.Parallel()
	putsBeside(t, "rows-beside")
	sideBySide(t, besideRows)
}

var besideRows = []row{
	{
		name: "beside-twenty", namespace: "rows-beside", queue: "max-in-flight: 2", exit: "0", kjobs: 1,
		act: func(s *scene) {
			began, all := time.Now(), []string{s.id}
			b, err := on.Simulator.CreateBuild(simulator.BuildRequest{Queue: s.name,
				Pipeline: []byte(`{"steps": [{"command": "true", "parallelism": 19, "env": {"BUILDKITE_SKIP_CHECKOUT": "true"}}]}`)})
			must(s, err)
			s.happens("all jobs are done", func() bool { b, _ := on.Simulator.Build(b.Number); return b.Done() && s.done() })
			// With a slot held for as long as a pod is there, it would be nine graces at least.
			took := time.Since(began)
			if most := 9 * 15 * time.Second; took > most {
				s.Errorf("twenty jobs took %s, two at a time: their slots were held by what runs on, want less than %s", took, most)
			}
			s.until("no pod is left", func() bool { return len(s.podsOfQueue()) == 0 })
			s.Logf("twenty jobs took %s, and their pods were gone after %s", took, time.Since(began))
			for _, id := range append(all, b.JobIDs...) {
				j, _ := on.Simulator.Job(id)
				if s.id = id; j.ExitStatus != "0" || s.attempts() != 1 {
					s.Errorf("job %s ended with %q after %d attempts\n%s", id, j.ExitStatus, s.attempts(), s.story())
				}
			}
			s.id = all[0]
		},
		event: "Deleted: deleted by onejob: helper_left: container proxy of pod ", metric: "delete/helper_left",
	},
	{
		name: "beside-refused", namespace: "rows-beside", faults: []simulator.Fault{{Endpoint: "acquire", Status: 404, Times: 1}}, exit: "0", kjobs: 2,
		page:  []string{"attempt 1 was refused the job, but Buildkite offers it again"},
		event: "NewAttempt: attempt 1 was refused the job", metric: "attempt/rejected",
	},
	{
		name: "beside-out-of-memory", namespace: "rows-beside", agent: "resources: {requests: {cpu: 5m, memory: 16Mi}, limits: {memory: 128Mi}}", finishHeld: true,
		command: `[ "$BUILDKITE_RETRY_COUNT" = 0 ] || exit 0; ` + untilTold + `; tail /dev/zero`, retry: "{exit_status: 137, limit: 1}",
		act:  func(s *scene) { s.started(); s.offerUp(s.running(1)); s.letGo() },
		exit: "137", signalReason: "stack_error", kjobs: 1,
		page:  []string{"the pod was lost while the job ran in it; onejob does not run the job again: OOMKilled at 128 MiB (raise limits.memory), exit code 137"},
		event: "JobFinished: the pod was lost while the job ran in it", metric: "finish/pod_lost_running",
	},
}

func (s *scene) podsOfQueue() []corev1.Pod {
	list, err := on.Cluster.Client().CoreV1().Pods(s.namespace).List(s.ctx, metav1.ListOptions{LabelSelector: contract.LabelQueue + "=" + s.name})
	must(s, err)
	return list.Items
}

// putsBeside makes the policy, and returns when it is in force.
func putsBeside(t *testing.T, namespace string) {
	const proxy = `[JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{name: "proxy", image: "localhost/onejob-agent:dev", imagePullPolicy: "Never",
		command: ["sleep", "infinity"], securityContext: Object.spec.containers.securityContext{allowPrivilegeEscalation: false, runAsNonRoot: true,
		capabilities: Object.spec.containers.securityContext.capabilities{drop: ["ALL"]}}}}]`
	client, meta, fail := on.Cluster.Client(), metav1.ObjectMeta{Name: namespace}, admissionv1.Fail
	api := client.AdmissionregistrationV1()
	_, err := api.MutatingAdmissionPolicies().Create(t.Context(), &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: meta,
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy: &fail, ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{NamespaceSelector: in(namespace), ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				},
			}}},
			Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{Expression: proxy}}},
		},
	}, metav1.CreateOptions{})
	ok(t, err)
	_, err = api.MutatingAdmissionPolicyBindings().Create(t.Context(), &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: meta, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: namespace},
	}, metav1.CreateOptions{})
	ok(t, err)
	for last := ""; ; {
		p, err := client.CoreV1().Pods(namespace).Create(t.Context(), restricted(), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err == nil && slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == "proxy" }) {
			return
		}
		if err != nil && !strings.EqualFold(last, err.Error()) {
			last = err.Error()
			t.Log(err)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(context.Cause(t.Context()))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// restricted is a pod that Pod Security lets in.
func restricted() *corev1.Pod {
	yes, no := true, false
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "probe"},
		Spec: corev1.PodSpec{
			SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: &yes, SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
			Containers: []corev1.Container{{Name: "c", Image: "i", SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			}}},
		},
	}
}
