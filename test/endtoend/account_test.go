package endtoend

import (
	"bytes"
	"context"
	"regexp"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/hunt"
)

// deployer is a queue whose jobs have an account, as deploy/README.md shows it.
const deployer = `- name: deployer
  max-in-flight: 8
  template:
    inline:
      apiVersion: batch/v1
      kind: Job
      spec:
        ttlSecondsAfterFinished: 20
        template:
          spec:
            serviceAccountName: deployer
            containers:
            - name: agent
              image: localhost/onejob-agent:dev
              imagePullPolicy: Never
              resources: {requests: {cpu: 10m, memory: 32Mi}}
              volumeMounts: [{name: kube-api, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]
            volumes:
            - name: kube-api
              projected:
                sources:
                - serviceAccountToken: {path: token, expirationSeconds: 3600}
                - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
                - downwardAPI: {items: [{path: namespace, fieldRef: {fieldPath: metadata.namespace}}]}
`

// listsPods is what a client of the API server does in a pod.
const listsPods = `cd /var/run/secrets/kubernetes.io/serviceaccount
curl -sS --fail --cacert ca.crt -H "Authorization: Bearer $(cat token)" $HUNT_API_SERVER/api/v1/namespaces/$(cat namespace)/pods | jq -r '"it lists \(.items | length) pods"'
cd "$BUILDKITE_BUILD_CHECKOUT_PATH" && ./hunter`

// TestJobWithAnAccount: a job of a queue whose template gives it an account lists
// pods with that account's rights, and has no others; the agent token is as far out of
// its reach as out of any job's.
func TestJobWithAnAccount(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	sim, kube, name := on.Simulator, on.Cluster.Client(), metav1.ObjectMeta{Name: "deployer"}
	_, err := kube.CoreV1().ServiceAccounts(fixture.Namespace).Create(ctx, &corev1.ServiceAccount{ObjectMeta: name}, metav1.CreateOptions{})
	if err == nil {
		_, err = kube.RbacV1().Roles(fixture.Namespace).Create(ctx, &rbacv1.Role{ObjectMeta: name, Rules: []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}}}, metav1.CreateOptions{})
	}
	if err == nil {
		_, err = kube.RbacV1().RoleBindings(fixture.Namespace).Create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: name, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "deployer"},
			Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: "deployer", Namespace: fixture.Namespace}},
		}, metav1.CreateOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
	node, err := kube.CoreV1().Nodes().Get(ctx, on.Cluster.NodeNames[0], metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	build := create(t, simulator.BuildRequest{Queue: "deployer", Repo: on.URL + "git/hunt.git"}, map[string]any{
		"command": listsPods, "env": map[string]string{
			"HUNT_SECRETS":    hunt.Backwards(simulator.DefaultAgentToken),
			"HUNT_API_SERVER": on.Cluster.RESTConfig().Host, "HUNT_NODE": node.Status.Addresses[0].Address,
		},
	})
	if err := sim.Wait(ctx, func() bool { b, _ := sim.Build(build.Number); return b.Done() }); err != nil {
		t.Fatalf("%v\n%s", err, table())
	}
	log, _ := sim.Log(build.JobIDs[0])
	if job, _ := sim.Job(build.JobIDs[0]); job.ExitStatus != "0" {
		t.Errorf("the job ended with %q", job.ExitStatus)
	}
	if !regexp.MustCompile(`it lists [1-9]\d* pods`).Match(log) {
		t.Error("the job didn't list pods")
	}
	for _, bad := range []string{"FOUND", simulator.DefaultAgentToken} {
		if bytes.Contains(log, []byte(bad)) {
			t.Errorf("the log has %q", bad)
		}
	}
	as := 0
	for _, a := range regexp.MustCompile(`asked as (\S+serviceaccount\S*/token) (.*?) https://(\S+)`).FindAllSubmatch(log, -1) {
		want := "403"
		if bytes.HasSuffix(a[3], []byte("/namespaces/onejob/pods")) {
			want = "200"
		}
		if as++; string(a[2]) != want {
			t.Errorf("asked as the account for %s, the answer was %s, want %s", a[3], a[2], want)
		}
	}
	if as < 9 {
		t.Errorf("the hunter asked %d times as the account, want 9", as)
	}
	if t.Failed() {
		t.Logf("the log:\n%s", log)
	}
	settled(t)
	clean(t, ctx)
}
