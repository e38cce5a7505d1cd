package deploy

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/scheduler"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
	"github.com/onejob-dev/onejob/test/cluster"
)

// account is the shipped ServiceAccount's name.
const account = "onejob"

// server is an API server, and controllers, that all sites share. It answers
// with no streamed lists, as those before Kubernetes 1.34 do: on a newer one
// informers get by without the verb list.
func server(t *testing.T) *cluster.Cluster {
	t.Helper()
	return cluster.Shared(t, cluster.Config{APIServerArgs: []string{"--feature-gates=WatchList=false"}})
}

// site is a namespace with onejob's ServiceAccount, its Roles, and a Buildkite
// of its own.
type site struct {
	*testing.T
	namespace string
	admin     kubernetes.Interface
	config    *rest.Config // of the ServiceAccount
	audit     *audit
	sim       *simulator.Simulator
	scheduler *scheduler.Scheduler
}

// aSite has the shipped Roles, less one right.
func aSite(t *testing.T, less right) *site {
	t.Helper()
	c := server(t)
	s := &site{T: t, admin: c.Client(), audit: newAudit(), sim: simulator.New(simulator.Config{})}
	t.Cleanup(s.sim.Close)
	ns, err := s.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "rights-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.namespace = ns.Name
	s.install(less)
	if s.config, err = c.RESTConfigFor(t.Context(), s.namespace, account); err != nil {
		t.Fatal(err)
	}
	s.config.Wrap(s.audit.wrap)
	s.config.QPS = -1
	return s
}

// install applies the account, the Roles and their bindings from base/.
func (s *site) install(less right) {
	s.Helper()
	ctx, rbac := s.Context(), s.admin.RbacV1()
	sa := read[corev1.ServiceAccount](s.T, "base/serviceaccount.yaml")[0]
	if sa.Name != account {
		s.Fatalf("the shipped ServiceAccount is %s, want %s", sa.Name, account)
	}
	if _, err := s.admin.CoreV1().ServiceAccounts(s.namespace).Create(ctx, &sa, metav1.CreateOptions{}); err != nil {
		s.Fatal(err)
	}
	for _, r := range read[rbacv1.Role](s.T, "base/role.yaml") {
		r.Rules = without(r.Rules, less)
		if _, err := rbac.Roles(s.namespace).Create(ctx, &r, metav1.CreateOptions{}); err != nil {
			s.Fatal(err)
		}
	}
	for _, b := range read[rbacv1.RoleBinding](s.T, "base/rolebinding.yaml") {
		for i := range b.Subjects {
			b.Subjects[i].Namespace = s.namespace
		}
		if _, err := rbac.RoleBindings(s.namespace).Create(ctx, &b, metav1.CreateOptions{}); err != nil {
			s.Fatal(err)
		}
	}
}

// without leaves a right out of rules; no rule may be left without verbs.
func without(rules []rbacv1.PolicyRule, less right) (out []rbacv1.PolicyRule) {
	for _, rule := range rules {
		kept := rule
		kept.Verbs = nil
		for _, r := range rightsOf(rule) {
			if r != less {
				kept.Verbs = append(kept.Verbs, r.verb)
			}
		}
		if len(kept.Verbs) > 0 {
			out = append(out, kept)
		}
	}
	return out
}

// rightsOf takes a rule apart; the shipped ones have one group and one resource.
func rightsOf(rule rbacv1.PolicyRule) (out []right) {
	resource := rule.Resources[0]
	if group := rule.APIGroups[0]; group != "" {
		resource += "." + group
	}
	for _, v := range rule.Verbs {
		out = append(out, right{resource, v})
	}
	return out
}

// read reads all documents of a manifest.
func read[T any](t *testing.T, path string) (out []T) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for doc := range bytes.SplitSeq(b, []byte("\n---\n")) {
		var o T
		if err := yaml.UnmarshalStrict(doc, &o); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out = append(out, o)
	}
	return out
}

// run runs a scheduler as the account, until the test's end or stop.
func (s *site) run(queue string) (stop func()) {
	s.Helper()
	kube, err := kubernetes.NewForConfig(s.config)
	if err != nil {
		s.Fatal(err)
	}
	s.scheduler = scheduler.New(scheduler.Options{
		Kube: kube, Version: "test", Transport: s.sim.Transport(), Token: stacks.Token(simulator.DefaultAgentToken),
		Lease: &scheduler.LeaseOptions{Namespace: s.namespace, Name: "onejob", Identity: s.namespace}, ReloadEvery: 200 * time.Millisecond,
		Load: func() (*config.Config, error) {
			return config.Parse([]byte("endpoint: http://buildkite.test/v3\nqueues:\n- name: default\n"+queue), s.namespace)
		},
	})
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan error, 1)
	go func() { done <- s.scheduler.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.Errorf("the scheduler ended with: %v", err)
		}
	}
}

// await wants cond to become true; the time only ends a test that hangs.
func (s *site) await(what string, cond func() bool) {
	s.Helper()
	for end := time.Now().Add(90 * time.Second); !cond(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			s.Fatalf("not %s; refused: %q; ready: %s", what, s.audit.refusals(), s.readiness())
		}
	}
}

func (s *site) readiness() string {
	w := httptest.NewRecorder()
	s.scheduler.Handler(false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return w.Body.String()
}

// build makes a build of n jobs and returns their IDs.
func (s *site) build(n int) []string {
	s.Helper()
	steps := bytes.Repeat([]byte("- command: make\n"), n)
	b, err := s.sim.CreateBuild(simulator.BuildRequest{Pipeline: append([]byte("steps:\n"), steps...)})
	if err != nil {
		s.Fatal(err)
	}
	return b.JobIDs
}

// kjobs are those of jobs; a template that is a Job is none.
func (s *site) kjobs() []batchv1.Job {
	s.Helper()
	l, err := s.admin.BatchV1().Jobs(s.namespace).List(s.Context(), metav1.ListOptions{LabelSelector: contract.LabelJobID})
	if err != nil {
		s.Fatal(err)
	}
	return l.Items
}

// kjob makes a build of one job and waits for its kjob.
func (s *site) kjob() (id string) {
	s.Helper()
	id = s.build(1)[0]
	s.await("given a kjob", func() bool {
		for _, k := range s.kjobs() {
			if k.Labels[contract.LabelJobID] == id {
				return true
			}
		}
		return false
	})
	return id
}

func (s *site) pods() []corev1.Pod {
	s.Helper()
	l, err := s.admin.CoreV1().Pods(s.namespace).List(s.Context(), metav1.ListOptions{LabelSelector: contract.LabelJobID})
	if err != nil {
		s.Fatal(err)
	}
	return l.Items
}
