package deploy

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// need says what a right is for.
type need struct {
	right right
	// is what the scheduler can't do without the right.
	is string
	// queue is put under the queue's configuration.
	queue string
	// before makes what the namespace has when the scheduler starts, and after
	// what happens then.
	before, after func(s *site)
	// works reports whether the function can be seen to work.
	works func(s *site) bool
}

var needs = []need{
	{
		right: right{"jobs.batch", "get"}, is: "a template that is a Job in the cluster",
		queue: "  template: {job: tmpl}\n", before: templateJob, after: oneJob, works: madeBy("a"),
	}, {
		right: right{"jobs.batch", "list"}, is: "knowing the kjobs that are there at start",
		after: oneJob, works: ready,
	}, {
		right: right{"jobs.batch", "watch"}, is: "following a template that is a Job",
		queue: "  template: {job: tmpl}\n", before: templateJob, works: followed,
		after: func(s *site) {
			s.kjob()
			k, err := s.admin.BatchV1().Jobs(s.namespace).Get(s.Context(), "tmpl", metav1.GetOptions{})
			if err == nil {
				k.Spec.Template.Labels["team"] = "b"
				_, err = s.admin.BatchV1().Jobs(s.namespace).Update(s.Context(), k, metav1.UpdateOptions{})
			}
			s.must(err)
		},
	}, {
		right: right{"jobs.batch", "create"}, is: "making a kjob", after: oneJob,
		works: func(s *site) bool { return len(s.kjobs()) == 1 },
	}, {
		right: right{"jobs.batch", "delete"}, is: "removing the kjob of a job that was cancelled",
		after: func(s *site) { s.kjob(); s.must(s.sim.CancelBuild(1)) },
		works: func(s *site) bool { return len(s.kjobs()) == 0 },
	}, {
		right: right{"jobs.batch", "patch"}, is: "leaving on a kjob what its job used, which was too little",
		after: func(s *site) { s.runsOutOfMemory(); s.runsOutOfMemory() },
		works: func(s *site) bool {
			return slices.ContainsFunc(s.kjobs(), func(k batchv1.Job) bool {
				return strings.Contains(k.Annotations[contract.AnnotationUsed], `"out_of_memory":true`)
			})
		},
	}, {
		right: right{"pods", "list"}, is: "knowing the pods that are there at start",
		after: oneJob, works: ready,
	}, {
		right: right{"pods", "watch"}, is: "seeing what becomes of a pod without listing them all again",
		after: func(s *site) {
			s.kjob()
			s.await("given a pod", func() bool { return len(s.pods()) == 1 })
			s.must(s.admin.CoreV1().Pods(s.namespace).Delete(s.Context(), s.pods()[0].Name, metav1.DeleteOptions{}))
		},
		works: func(s *site) bool {
			second := slices.ContainsFunc(s.kjobs(), func(k batchv1.Job) bool { return k.Labels[contract.LabelAttempt] == "2" })
			return second && s.audit.requests(right{"pods", "list"}) == 1
		},
	}, {
		right: right{"events", "list"}, is: "telling on the job's page why its pod doesn't start",
		after: func(s *site) { pendingPod(s); pendingPod(s) },
		works: func(s *site) bool {
			return slices.ContainsFunc(s.sim.Jobs()[0].Notifications, func(n simulator.Notification) bool { return strings.Contains(n.Detail, noVolume) })
		},
	}, {
		right: right{"events", "create"}, is: "telling on the kjob that a new attempt is made",
		after: func(s *site) {
			s.kjob()
			s.kjob()
			for _, k := range s.kjobs() {
				s.must(s.admin.BatchV1().Jobs(s.namespace).Delete(s.Context(), k.Name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)}))
			}
		},
		works: func(s *site) bool {
			l, err := s.admin.CoreV1().Events(s.namespace).List(s.Context(), metav1.ListOptions{FieldSelector: "reason=NewAttempt,source=onejob"})
			s.must(err)
			return len(l.Items) == 2
		},
	}, {
		right: right{"podtemplates", "get"}, is: "a template that is a PodTemplate in the cluster",
		queue: "  template: {pod-template: tmpl}\n", before: podTemplate, after: oneJob, works: madeBy("a"),
	}, {
		right: right{"podtemplates", "watch"}, is: "following a template that is a PodTemplate",
		queue: "  template: {pod-template: tmpl}\n", before: podTemplate, works: followed,
		after: func(s *site) {
			s.kjob()
			p, err := s.admin.CoreV1().PodTemplates(s.namespace).Get(s.Context(), "tmpl", metav1.GetOptions{})
			if err == nil {
				p.Template.Labels["team"] = "b"
				_, err = s.admin.CoreV1().PodTemplates(s.namespace).Update(s.Context(), p, metav1.UpdateOptions{})
			}
			s.must(err)
		},
	}, {
		right: right{"leases.coordination.k8s.io", "create"}, is: "leading where nobody has led before",
		works: leads,
	}, {
		right: right{"leases.coordination.k8s.io", "get"}, is: "looking who leads",
		works: leads,
	}, {
		right: right{"leases.coordination.k8s.io", "update"}, is: "leading after another replica",
		before: func(s *site) {
			_, err := s.admin.CoordinationV1().Leases(s.namespace).Create(s.Context(), &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Name: "onejob"}, Spec: coordinationv1.LeaseSpec{HolderIdentity: ptr.To(""), LeaseDurationSeconds: ptr.To[int32](1)},
			}, metav1.CreateOptions{})
			s.must(err)
		},
		works: leads,
	},
}

func oneJob(s *site) { s.build(1) }

func ready(s *site) bool { return s.readiness() == "ok\n" && len(s.kjobs()) == 1 }

// madeBy: there is a kjob of the template that has this label.
func madeBy(team string) func(*site) bool {
	return func(s *site) bool {
		return slices.ContainsFunc(s.kjobs(), func(k batchv1.Job) bool { return k.Spec.Template.Labels["team"] == team })
	}
}

// followed offers one more job, which a scheduler that has seen the template's
// change makes a kjob of the new one.
func followed(s *site) bool {
	s.kjob()
	return madeBy("b")(s)
}

func leads(s *site) bool {
	l, err := s.admin.CoordinationV1().Leases(s.namespace).Get(s.Context(), "onejob", metav1.GetOptions{})
	return err == nil && l.Spec.HolderIdentity != nil && *l.Spec.HolderIdentity == s.namespace
}

const noVolume = "MountVolume.SetUp failed for volume \"cache\": not today"

// pendingPod makes a pod that has a node, but no such node's kubelet; what
// keeps it is said in an Event alone, as with volumes.
func pendingPod(s *site) {
	s.kjob()
	var pod corev1.Pod
	s.await("looked at by Kubernetes' scheduler, which finds no node", func() bool {
		for _, pod = range s.pods() {
			if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Reason == corev1.PodReasonUnschedulable }) {
				return true
			}
		}
		return false
	})
	core := s.admin.CoreV1()
	s.must(core.Pods(s.namespace).Bind(s.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "nowhere"}}, metav1.CreateOptions{}))
	_, err := core.Events(s.namespace).Create(s.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "mount-"},
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: s.namespace, Name: pod.Name, UID: pod.UID},
		Type:           corev1.EventTypeWarning, Reason: "FailedMount", Message: noVolume, Source: corev1.EventSource{Component: "kubelet"},
		LastTimestamp: metav1.NewTime(time.Now().Add(time.Second)), // a whole second, and still after the others
	}, metav1.CreateOptions{})
	s.must(err)
}

// runsOutOfMemory makes a job whose pod has a node, and a status there that no kubelet sent.
func (s *site) runsOutOfMemory() {
	id := s.kjob()
	var pod corev1.Pod
	s.await("given a pod", func() bool {
		for _, pod = range s.pods() {
			if pod.Labels[contract.LabelJobID] == id {
				return true
			}
		}
		return false
	})
	pods, now := s.admin.CoreV1().Pods(s.namespace), metav1.Now()
	s.must(pods.Bind(s.Context(), &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: pod.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: "nowhere"}}, metav1.CreateOptions{}))
	s.await("out of memory", func() bool {
		p, err := pods.Get(s.Context(), pod.Name, metav1.GetOptions{})
		s.must(err)
		p.Status.Phase = corev1.PodFailed
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: contract.AgentContainer, Image: "x", ImageID: "x", State: corev1.ContainerState{
			Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", StartedAt: now, FinishedAt: now},
		}}}
		_, err = pods.UpdateStatus(s.Context(), p, metav1.UpdateOptions{})
		return err == nil
	})
}

func aPodTemplate() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"team": "a"}},
		Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "agent", Image: "registry.local/agent:1", TerminationMessagePolicy: corev1.TerminationMessageReadFile}}},
	}
}

func templateJob(s *site) {
	_, err := s.admin.BatchV1().Jobs(s.namespace).Create(s.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "tmpl"}, Spec: batchv1.JobSpec{Suspend: ptr.To(true), Template: aPodTemplate()},
	}, metav1.CreateOptions{})
	s.must(err)
}

func podTemplate(s *site) {
	_, err := s.admin.CoreV1().PodTemplates(s.namespace).Create(s.Context(), &corev1.PodTemplate{ObjectMeta: metav1.ObjectMeta{Name: "tmpl"}, Template: aPodTemplate()}, metav1.CreateOptions{})
	s.must(err)
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// Every verb of every rule of the shipped Roles is needed: with all of them
// each function works and nothing is refused; without the one that it needs the
// scheduler is refused, twice, and the function is seen not to work.
func TestEveryRightIsNeeded(t *testing.T) {
	shipped := map[right]bool{}
	for _, role := range read[rbacv1.Role](t, "base/role.yaml") {
		for _, rule := range role.Rules {
			for _, r := range rightsOf(rule) {
				shipped[r] = true
			}
		}
	}
	for r := range shipped {
		if !slices.ContainsFunc(needs, func(n need) bool { return n.right == r }) {
			t.Errorf("nothing needs the right to %s: drop it from the Role, or say here what for", r)
		}
	}
	for _, n := range needs {
		if !shipped[n.right] {
			t.Errorf("%s needs the right to %s, which isn't shipped", n.is, n.right)
		}
		name := strings.ReplaceAll(n.right.String(), " ", "_")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := aSite(t, right{})
			s.begin(n)()
			if got := s.audit.refusals(); len(got) > 0 {
				t.Errorf("with all rights it was refused: %q", got)
			}
		})
		t.Run("without_"+name, func(t *testing.T) {
			t.Parallel()
			s := aSite(t, n.right)
			less := n
			less.is, less.works = "refused twice", func(s *site) bool { return s.audit.refused(n.right) >= 2 }
			defer s.begin(less)()
			if n.works(s) {
				t.Errorf("without the right to %s it works all the same: %s", n.right, n.is)
			}
		})
	}
}

// begin runs the scheduler until a function works, and returns what ends it.
func (s *site) begin(n need) (end func()) {
	s.Helper()
	if n.before != nil {
		n.before(s)
	}
	end = s.run(n.queue)
	if n.after != nil {
		n.after(s)
	}
	s.await(n.is, func() bool { return n.works(s) })
	return end
}

// The scheduler's account has the shipped rights in its namespace, and else
// what every account of the cluster has. It can't read a Secret, but, as whoever
// makes Jobs, can make one whose pod has it: deploy/README.md says so.
func TestNoOtherRight(t *testing.T) {
	s := aSite(t, right{})
	kube, err := kubernetes.NewForConfig(s.config)
	s.must(err)
	_, err = s.admin.CoreV1().Secrets(s.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "onejob-agent-token"}, StringData: map[string]string{"token": "x"}}, metav1.CreateOptions{})
	s.must(err)
	if _, err := kube.CoreV1().Secrets(s.namespace).Get(t.Context(), "onejob-agent-token", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("reading the agent token's Secret: %v, want Forbidden", err)
	}
	for _, ns := range []string{s.namespace, "kube-system", ""} {
		if _, err := kube.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
			t.Errorf("listing the Secrets of %q: %v, want Forbidden", ns, err)
		}
	}

	reader := aPodTemplate()
	reader.Spec.ServiceAccountName = account
	reader.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "onejob-agent-token"}}}}
	_, err = kube.BatchV1().Jobs(s.namespace).Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Spec: batchv1.JobSpec{Template: reader}}, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Errorf("a Job whose pod reads the agent token: %v, want none: the documents are wrong", err)
	}

	_, err = s.admin.CoreV1().ServiceAccounts(s.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "anybody"}}, metav1.CreateOptions{})
	s.must(err)
	config, err := server(t).RESTConfigFor(t.Context(), s.namespace, "anybody")
	s.must(err)
	anybody, err := kubernetes.NewForConfig(config)
	s.must(err)
	want := map[string]bool{}
	for _, role := range read[rbacv1.Role](t, "base/role.yaml") {
		for _, rule := range role.Rules {
			maps.Copy(want, spread(authorizationv1.ResourceRule{Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames}))
		}
	}
	for ns, want := range map[string]map[string]bool{s.namespace: want, "kube-system": {}, "default": {}} {
		got := rulesOf(t, kube, ns)
		for r := range rulesOf(t, anybody, ns) {
			delete(got, r)
		}
		if !maps.Equal(got, want) {
			t.Errorf("in namespace %s the account may\n%q, want\n%q", ns, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		}
	}
}

func rulesOf(t *testing.T, kube kubernetes.Interface, namespace string) map[string]bool {
	t.Helper()
	review, err := kube.AuthorizationV1().SelfSubjectRulesReviews().Create(t.Context(), &authorizationv1.SelfSubjectRulesReview{Spec: authorizationv1.SelfSubjectRulesReviewSpec{Namespace: namespace}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, rule := range review.Status.ResourceRules {
		maps.Copy(out, spread(rule))
	}
	for _, rule := range review.Status.NonResourceRules {
		out[fmt.Sprintf("%q %q", rule.Verbs, rule.NonResourceURLs)] = true
	}
	return out
}

// spread takes a rule apart into its rights, for comparison.
func spread(rule authorizationv1.ResourceRule) map[string]bool {
	out := map[string]bool{}
	for _, g := range rule.APIGroups {
		for _, r := range rule.Resources {
			for _, v := range rule.Verbs {
				out[fmt.Sprintf("%s %s.%s %q", v, r, g, rule.ResourceNames)] = true
			}
		}
	}
	return out
}

// What people are given has no right to Secrets, and making pods, which only a
// dry run needs, is a Role of its own.
func TestOperatorRoles(t *testing.T) {
	got := map[string][]string{}
	for _, role := range read[rbacv1.Role](t, "operator.yaml") {
		for _, rule := range role.Rules {
			for _, r := range rule.Resources {
				for _, v := range rule.Verbs {
					got[role.Name] = append(got[role.Name], v+" "+r)
				}
			}
		}
		slices.Sort(got[role.Name])
	}
	want := map[string][]string{
		"onejob-operator": {"create jobs", "delete jobs", "get jobs", "get leases", "get podtemplates", "list events", "list jobs", "list pods", "patch pods", "update jobs"},
		"onejob-lint":     {"create jobs", "create pods", "get configmaps", "get jobs", "get persistentvolumeclaims", "get podtemplates"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
