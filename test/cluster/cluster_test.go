package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) != "" {
		own()
	}
	os.Exit(cluster.Main(m))
}

// namespace makes one for the test, with a level of Pod Security, and waits
// until pods can be created in it.
func namespace(t *testing.T, c *cluster.Cluster, level string) string {
	t.Helper()
	object := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "test-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": level},
	}}
	made, err := c.Client().CoreV1().Namespaces().Create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		_, err := c.Client().CoreV1().ServiceAccounts(made.Name).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	return made.Name
}

func eventually(t *testing.T, within time.Duration, done func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		err := done(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %v", within, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// aPod that passes the restricted Pod Security Standard and runs the stub image.
func aPod(args ...string) corev1.PodSpec {
	yes, no := true, false
	var grace int64 = 1
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  &no,
		TerminationGracePeriodSeconds: &grace,
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   &yes,
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{{
			Name: "main", Image: image.StubName, ImagePullPolicy: corev1.PullNever, Args: args,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, ReadOnlyRootFilesystem: &yes,
				Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
		}},
	}
}

func createJob(t *testing.T, c *cluster.Cluster, namespace, name string, pod corev1.PodSpec) {
	t.Helper()
	var none int32
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       batchv1.JobSpec{BackoffLimit: &none, Template: corev1.PodTemplateSpec{Spec: pod}},
	}
	if _, err := c.Client().BatchV1().Jobs(namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// finished waits for the Job's end and returns Complete or Failed.
func finished(t *testing.T, c *cluster.Cluster, namespace, name string) batchv1.JobConditionType {
	t.Helper()
	var end batchv1.JobConditionType
	eventually(t, 5*time.Minute, func(ctx context.Context) error {
		job, err := c.Client().BatchV1().Jobs(namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range job.Status.Conditions {
			if condition.Status == corev1.ConditionTrue && (condition.Type == batchv1.JobComplete || condition.Type == batchv1.JobFailed) {
				end = condition.Type
				return nil
			}
		}
		return fmt.Errorf("the Job's status is %+v", job.Status)
	})
	return end
}

func podOf(t *testing.T, c *cluster.Cluster, namespace, job string) *corev1.Pod {
	t.Helper()
	pods, err := c.Client().CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 1 {
		t.Fatalf("Job %s has %d pods, want 1", job, len(pods.Items))
	}
	return &pods.Items[0]
}

func logOf(t *testing.T, c *cluster.Cluster, namespace, pod string) string {
	t.Helper()
	data, err := c.Client().CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func TestConfigIsChecked(t *testing.T) {
	for _, config := range []cluster.Config{{Nodes: -1}, {Nodes: cluster.MaxNodes + 1}, {Images: []string{"relative.tar"}}} {
		if _, err := cluster.Run(t.Context(), config); err == nil {
			t.Errorf("%+v: got no error", config)
		}
	}
}

func TestControlPlaneAlone(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	c := cluster.Start(t, cluster.Config{})
	t.Logf("ready after %s", time.Since(begin).Round(time.Millisecond))

	version, err := c.Client().Discovery().ServerVersion()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(version.GitVersion, "v1.") || version.Minor == "" {
		t.Errorf("the server says version %+v: it isn't stamped", version)
	}
	if len(c.NodeNames) != 0 {
		t.Errorf("got nodes %v, want none", c.NodeNames)
	}
	// The Job controller makes a pod, which nobody runs.
	ns := namespace(t, c, "restricted")
	createJob(t, c, ns, "waits", aPod("exit", "0"))
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		pods, err := c.Client().CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
		if err != nil || len(pods.Items) == 1 {
			return err
		}
		return fmt.Errorf("%d pods", len(pods.Items))
	})

	// The API server's stop is felt as a refused connection, and its data is there after.
	if err := c.StopAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Client().BatchV1().Jobs(ns).Get(t.Context(), "waits", metav1.GetOptions{}); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a request while the API server is stopped: got %v, want connection refused", err)
	}
	begin = time.Now()
	if err := c.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("back after %s", time.Since(begin).Round(time.Millisecond))
	if _, err := c.Client().BatchV1().Jobs(ns).Get(t.Context(), "waits", metav1.GetOptions{}); err != nil {
		t.Errorf("after the restart: %v", err)
	}

	// A second cluster beside the first has nothing of it.
	other, err := cluster.Run(t.Context(), cluster.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Client().CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the first one's namespace in the second: got %v, want not found", err)
	}
	begin = time.Now()
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > time.Minute { // a second where nothing hangs
		t.Errorf("ending it took %s", took)
	}
	if _, err := c.Client().CoreV1().Namespaces().Get(t.Context(), ns, metav1.GetOptions{}); err != nil {
		t.Errorf("the first after the second's end: %v", err)
	}
}

func TestJobs(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	ns := namespace(t, c, "restricted")
	begin := time.Now()
	createJob(t, c, ns, "says", aPod("say", "hello", "there"))
	createJob(t, c, ns, "fails", aPod("exit", "27"))
	if got := finished(t, c, ns, "says"); got != batchv1.JobComplete {
		t.Errorf("got %s, want Complete", got)
	}
	t.Logf("a Job took %s", time.Since(begin).Round(time.Millisecond))
	if got, want := logOf(t, c, ns, podOf(t, c, ns, "says").Name), "hello there"; got != want {
		t.Errorf("got log %q, want %q", got, want)
	}
	if got := finished(t, c, ns, "fails"); got != batchv1.JobFailed {
		t.Errorf("got %s, want Failed", got)
	}
	if got := podOf(t, c, ns, "fails").Status.ContainerStatuses[0].State.Terminated; got == nil || got.ExitCode != 27 {
		t.Errorf("got termination %+v, want exit code 27", got)
	}
}

func TestPodReachesServerOfTheTest(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	listener, err := net.Listen("tcp", net.JoinHostPort(c.HostAddress, "0"))
	if err != nil {
		t.Fatal(err)
	}
	peers := make(chan string, 1)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peers <- r.RemoteAddr
		fmt.Fprint(w, "reached")
	})}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()

	ns := namespace(t, c, "restricted")
	createJob(t, c, ns, "gets", aPod("get", "http://"+listener.Addr().String()))
	if got := finished(t, c, ns, "gets"); got != batchv1.JobComplete {
		t.Fatalf("got %s, want Complete; log: %s", got, logOf(t, c, ns, podOf(t, c, ns, "gets").Name))
	}
	pod := podOf(t, c, ns, "gets")
	if got := logOf(t, c, ns, pod.Name); got != "reached" {
		t.Errorf("got log %q", got)
	}
	// No address translation: the server sees who it is.
	_, pods, err := net.ParseCIDR(c.PodCIDR)
	if err != nil {
		t.Fatal(err)
	}
	if host, _, _ := net.SplitHostPort(<-peers); !pods.Contains(net.ParseIP(host)) || host != pod.Status.PodIP {
		t.Errorf("the server saw %s, the pod has %s", host, pod.Status.PodIP)
	}
}

func TestPodSecurity(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	yes := true
	privileged := aPod("say", "never")
	privileged.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
	create := func(ns string, spec corev1.PodSpec) error {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-"}, Spec: spec}
		_, err := c.Client().CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{})
		return err
	}
	restricted := namespace(t, c, "restricted")
	if err := create(restricted, privileged); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity") {
		t.Errorf("a privileged pod in a restricted namespace: got %v, want forbidden", err)
	}
	if err := create(restricted, aPod("say", "fine")); err != nil {
		t.Errorf("a modest pod in a restricted namespace: %v", err)
	}
	if err := create(namespace(t, c, "privileged"), privileged); err != nil {
		t.Errorf("a privileged pod in a privileged namespace: %v", err)
	}
}

func TestServiceAccountHasOnlyItsRights(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	ns := namespace(t, c, "restricted")
	config, err := c.RESTConfigFor(t.Context(), ns, "default")
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.BatchV1().Jobs(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "system:serviceaccount:"+ns+":default") {
		t.Errorf("got %v, want forbidden to the account by its name", err)
	}
	if _, err := c.ServiceAccountToken(t.Context(), ns, "nobody"); !apierrors.IsNotFound(errors.Unwrap(err)) {
		t.Errorf("a token of no account: got %v, want not found", err)
	}
}
