package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
)

// Queue is the Buildkite queue of a Fixture's builds.
const Queue = "default"

// Fixture is what one scheduler works in: a namespace of a running cluster, and a
// Buildkite of its own. Close ends it.
type Fixture struct {
	Cluster   *cluster.Cluster
	Namespace string
	Simulator *simulator.Simulator
	// Endpoint is the base URL of the simulator's Agent and Stacks API.
	Endpoint string
	// Dir holds the fixture's files, and goes with it.
	Dir string
	// Kubeconfig is a file with an admin's rights and the namespace as default.
	Kubeconfig string
	// Kube is an admin's client that speaks protobuf.
	Kube kubernetes.Interface
	// Watch has seen every kjob of the namespace.
	Watch *Watch

	server *http.Server
	stop   context.CancelFunc
}

// Open makes a namespace with the agent token's Secrets, a simulator, and the
// watch on the namespace's kjobs.
func Open(ctx context.Context, c *cluster.Cluster, conf simulator.Config) (_ *Fixture, err error) {
	s := &Fixture{Cluster: c}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("opening a fixture: %w", err), s.Close())
		}
	}()
	if s.Kube, err = kubernetes.NewForConfig(Protobuf(c.RESTConfig())); err != nil {
		return nil, err
	}
	if s.Dir, err = os.MkdirTemp("", "onejob-set"); err != nil {
		return nil, err
	}
	if err := s.makeNamespace(ctx); err != nil {
		return nil, err
	}
	s.Kubeconfig = filepath.Join(s.Dir, "kubeconfig")
	if err := c.WriteKubeconfig(s.Kubeconfig, c.RESTConfig(), s.Namespace); err != nil {
		return nil, err
	}
	if conf.RequestLog == 0 {
		conf.RequestLog = 500_000
	}
	s.Simulator = simulator.New(conf)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.Endpoint = "http://" + listener.Addr().String() + "/v3"
	s.server = &http.Server{Handler: s.Simulator, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(listener) //nolint:errcheck // Close ends it

	wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.Watch, err = watchKjobs(wctx, s.Kube, s.Namespace)
	return s, err
}

// Protobuf makes a client's configuration the fastest there is.
func Protobuf(c *rest.Config) *rest.Config {
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	c.QPS = -1
	return c
}

// secrets are where schedulers and their pods look for the agent token: ours,
// and agent-stack-k8s.
var secrets = map[string]string{"onejob-agent-token": "token", "buildkite-agent-token": "BUILDKITE_AGENT_TOKEN"}

func (s *Fixture) makeNamespace(ctx context.Context) error {
	core := s.Kube.CoreV1()
	n, err := core.Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "set-"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	s.Namespace = n.Name
	for name, key := range secrets {
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{key: simulator.DefaultAgentToken}}
		if _, err := core.Secrets(s.Namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
			return err
		}
	}
	// No pod can be made before its service account exists.
	for {
		if _, err = core.ServiceAccounts(s.Namespace).Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return nil
		}
		if err := sleep(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("waiting for the namespace's service account: %w", err)
		}
	}
}

// Build schedules n jobs and returns their UUIDs, and when it began to.
func (s *Fixture) Build(n int) ([]string, time.Time, error) {
	return s.BuildOf(fmt.Sprintf("steps: [{command: make, parallelism: %d}]", n))
}

// BuildOf schedules the jobs of a pipeline and returns their UUIDs, and when it
// began to.
func (s *Fixture) BuildOf(pipeline string) ([]string, time.Time, error) {
	began := time.Now()
	b, err := s.Simulator.CreateBuild(simulator.BuildRequest{Pipeline: []byte(pipeline), Queue: Queue})
	return b.JobIDs, began, err
}

// Requests counts the simulator's calls of a time by endpoint.
func (s *Fixture) Requests(from, to time.Time) map[string]int {
	n := map[string]int{}
	for _, r := range s.Simulator.Requests() {
		if !r.Time.Before(from) && r.Time.Before(to) {
			n[r.Endpoint]++
		}
	}
	return n
}

// Close ends the simulator and the watch. The namespace is deleted, with what
// is left in it, after the return.
func (s *Fixture) Close() error {
	var errs []error
	if s.stop != nil {
		s.stop()
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	if s.Simulator != nil {
		s.Simulator.Close()
	}
	if s.Namespace != "" {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		errs = append(errs, s.Kube.CoreV1().Namespaces().Delete(ctx, s.Namespace, metav1.DeleteOptions{}))
	}
	if s.Dir != "" {
		errs = append(errs, os.RemoveAll(s.Dir))
	}
	return errors.Join(errs...)
}

// Clear deletes every kjob and pod of the namespace and returns when they are
// gone.
func (s *Fixture) Clear(ctx context.Context) error {
	var now int64
	background := metav1.DeletePropagationBackground
	all := metav1.ListOptions{}
	var err error
	var asked time.Time
	for {
		// With thousands of them the API server's time for one request is up
		// before all are gone: what is left is for the next, but not before the
		// controllers had time to take their finalizers off.
		if time.Since(asked) > 10*time.Second {
			err = errors.Join(
				s.Kube.BatchV1().Jobs(s.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{PropagationPolicy: &background}, all),
				s.Kube.CoreV1().Pods(s.Namespace).DeleteCollection(ctx, metav1.DeleteOptions{GracePeriodSeconds: &now}, all))
			asked = time.Now()
		}
		kjobs, err1 := s.Kube.BatchV1().Jobs(s.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
		pods, err2 := s.Kube.CoreV1().Pods(s.Namespace).List(ctx, metav1.ListOptions{Limit: 1})
		if errors.Join(err1, err2) == nil && len(kjobs.Items)+len(pods.Items) == 0 {
			return nil
		}
		if sleep(ctx, 200*time.Millisecond) != nil {
			return fmt.Errorf("waiting until the kjobs and pods are gone: %w; last: %w", context.Cause(ctx), errors.Join(err, err1, err2))
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
