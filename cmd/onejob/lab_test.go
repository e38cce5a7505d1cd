package main

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
)

// lab is a namespace of a real API server, where pods are made and stay
// pending, a Buildkite, and an operator's rights and files: the Role
// onejob-operator of deploy/operator.yaml.
type lab struct {
	*testing.T
	cluster    *cluster.Cluster
	admin      kubernetes.Interface
	namespace  string
	kubeconfig string // the operator's
	sim        *simulator.Simulator
	config     string // of one queue, "default"
	token      string // its file
}

func aLab(t *testing.T) *lab {
	t.Helper()
	c := cluster.Shared(t, cluster.Config{})
	l := &lab{T: t, cluster: c, admin: c.Client(), sim: simulator.New(simulator.Config{})}
	t.Cleanup(l.sim.Close)
	server := httptest.NewServer(l.sim)
	t.Cleanup(server.Close)
	ns, err := l.admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "cli-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}, metav1.CreateOptions{})
	l.must(err)
	l.namespace = ns.Name
	l.may("onejob-operator")
	_, err = l.admin.CoreV1().ServiceAccounts(l.namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "operator"}}, metav1.CreateOptions{})
	l.must(err)
	rest, err := c.RESTConfigFor(t.Context(), l.namespace, "operator")
	l.must(err)
	l.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	l.must(c.WriteKubeconfig(l.kubeconfig, rest, l.namespace))
	l.token = write(t, simulator.DefaultAgentToken)
	l.config = write(t, "endpoint: "+server.URL+"/v3\ntoken-file: "+l.token+"\nqueues: [{name: default}]\n")
	l.await("a default ServiceAccount", func() bool {
		_, err := l.admin.CoreV1().ServiceAccounts(l.namespace).Get(t.Context(), "default", metav1.GetOptions{})
		return err == nil
	})
	t.Setenv("KUBECONFIG", l.kubeconfig)
	t.Setenv("ONEJOB_CONFIG", l.config)
	return l
}

// may gives the operator one of the Roles in deploy/operator.yaml.
func (l *lab) may(name string) {
	l.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "operator.yaml"))
	l.must(err)
	for doc := range bytes.SplitSeq(b, []byte("\n---\n")) {
		var role rbacv1.Role
		l.must(yaml.UnmarshalStrict(doc, &role))
		if role.Name != name {
			continue
		}
		_, err = l.admin.RbacV1().Roles(l.namespace).Create(l.Context(), &role, metav1.CreateOptions{})
		l.must(err)
		_, err = l.admin.RbacV1().RoleBindings(l.namespace).Create(l.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "operator", Namespace: l.namespace}},
		}, metav1.CreateOptions{})
		l.must(err)
		return
	}
	l.Fatalf("deploy/operator.yaml has no Role %s", name)
}

func (l *lab) must(err error) {
	l.Helper()
	if err != nil {
		l.Fatal(err)
	}
}

// await's time only ends a test that hangs.
func (l *lab) await(what string, cond func() bool) {
	l.Helper()
	for end := time.Now().Add(time.Minute); !cond(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			l.Fatalf("not %s", what)
		}
	}
}

// jobs schedules n jobs and returns their IDs.
func (l *lab) jobs(n int) []string {
	l.Helper()
	b, err := l.sim.CreateBuild(simulator.BuildRequest{Pipeline: fmt.Appendf(nil, "steps: [{command: make, parallelism: %d}]", n)})
	l.must(err)
	return b.JobIDs
}

func (l *lab) kjobs() []batchv1.Job {
	l.Helper()
	list, err := l.admin.BatchV1().Jobs(l.namespace).List(l.Context(), metav1.ListOptions{})
	l.must(err)
	return list.Items
}

// ends has a job's pod say that it has ended, as a kubelet would.
func (l *lab) ends(id string, m contract.Message) {
	l.Helper()
	var pod *corev1.Pod
	l.await("a pod of "+id, func() bool {
		pods, err := l.admin.CoreV1().Pods(l.namespace).List(l.Context(), metav1.ListOptions{LabelSelector: contract.LabelJobID + "=" + id})
		l.must(err)
		for i := range pods.Items {
			pod = &pods.Items[i]
		}
		return pod != nil
	})
	m.JobID = contract.JobID(id)
	phase := corev1.PodSucceeded
	if m.ExitCode != 0 {
		phase = corev1.PodFailed
	}
	patch := fmt.Sprintf(`{"status":{"phase":%q,"containerStatuses":[{"name":"agent","image":"x","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":%d,"message":%q}}}]}}`,
		phase, m.ExitCode, m.Encode())
	_, err := l.admin.CoreV1().Pods(l.namespace).Patch(l.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status")
	l.must(err)
}
