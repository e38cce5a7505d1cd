package stage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/cluster"
	"github.com/onejob-dev/onejob/test/cluster/image"
)

// Namespace is where deploy/base installs onejob, and where its jobs run.
const Namespace = "onejob"

// Options say what a Stage is like.
type Options struct {
	// Root is the repository's folder.
	Root string
	// Nodes is the number of nodes, at least 1.
	Nodes int
	// Config is the scheduler's configuration, with its endpoint left out.
	Config string
	// Namespaces are further ones that the configuration names.
	Namespaces []string
	// TLS puts a Front before the simulator; Config ends in TrustFront then.
	TLS bool
	// Simulator configures the Buildkite.
	Simulator simulator.Config
	// Repository is a folder that is served, by HTTP, as git repositories.
	Repository string
	// Logf is told what is waited for; nil for silence.
	Logf func(format string, args ...any)
}

// Stage is a running setup. Close ends it.
type Stage struct {
	Cluster   *cluster.Cluster
	Simulator *simulator.Simulator
	// URL is the simulator's page, as pods and this machine reach it.
	URL string
	// Front is there with Options.TLS.
	Front *Front

	server *http.Server
	logf   func(format string, args ...any)
}

// Up sets everything up, and returns when the scheduler's replicas are ready.
func Up(ctx context.Context, o Options) (_ *Stage, err error) {
	s := &Stage{logf: o.Logf}
	if s.logf == nil {
		s.logf = func(string, ...any) {}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	var agent, scheduler string
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) { return cluster.Build(gctx) })
	g.Go(func() (err error) {
		if agent, err = image.Agent(gctx, image.Options{}); err == nil {
			scheduler, err = image.Scheduler(gctx, image.Options{})
		}
		return err
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("building the cluster and the images: %w", err)
	}
	s.Cluster, err = cluster.Run(ctx, cluster.Config{Nodes: o.Nodes, Images: []string{agent, scheduler}, Logf: o.Logf})
	if err != nil {
		return nil, err
	}
	if err := s.serve(o); err != nil {
		return nil, err
	}
	if err := s.install(ctx, filepath.Join(o.Root, "deploy", "base"), o); err != nil {
		return nil, fmt.Errorf("installing deploy/base: %w", err)
	}
	return s, s.ready(ctx)
}

// serve starts the simulator, and git repositories under /git/, on the address
// at which pods reach this machine.
func (s *Stage) serve(o Options) error {
	s.Simulator = simulator.New(o.Simulator)
	listener, err := net.Listen("tcp", net.JoinHostPort(s.Cluster.HostAddress, "0"))
	if err != nil {
		return err
	}
	scheme := "http"
	if o.TLS {
		scheme = "https"
		if s.Front, err = newFront(listener, s.Cluster.HostAddress); err != nil {
			return err
		}
		listener = s.Front.listener()
	}
	s.URL = scheme + "://" + listener.Addr().String() + "/"
	mux := http.NewServeMux()
	mux.Handle("/", s.Simulator)
	if o.Repository != "" {
		mux.Handle("/git/", http.StripPrefix("/git/", http.FileServer(http.Dir(o.Repository))))
	}
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(listener)
	return nil
}

// A scheduler is ready within seconds. After reportAfter the log tells what keeps
// it, after readyWithin there is an error that tells it.
const (
	reportAfter = time.Minute
	readyWithin = 5 * time.Minute
)

// ready waits until all replicas say that they are.
func (s *Stage) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("not within %s", readyWithin))
	defer cancel()
	report := time.After(reportAfter)
	for {
		d, err := s.Cluster.Client().AppsV1().Deployments(Namespace).Get(ctx, "onejob", metav1.GetOptions{})
		if err == nil && d.Status.ReadyReplicas >= 1 && d.Status.ReadyReplicas == *d.Spec.Replicas {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the scheduler isn't ready: %w%s", context.Cause(ctx), s.story())
		case <-report:
			s.logf("the scheduler isn't ready after %s:%s", reportAfter, s.story())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// story is what the scheduler's pods say of themselves: their states, what their
// /readyz says, and the end of their logs.
func (s *Stage) story() string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	pods, err := s.Cluster.Client().CoreV1().Pods(Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return ""
	}
	text := ""
	for _, p := range pods.Items {
		text += fmt.Sprintf("\n%s: %s", p.Name, p.Status.Phase)
		for _, c := range p.Status.ContainerStatuses {
			text += fmt.Sprintf(" %+v", c.State)
		}
		if p.Labels["app.kubernetes.io/component"] == "scheduler" {
			says, err := get(ctx, p, "/readyz")
			text += fmt.Sprintf("\n/readyz: %s %v", says, err)
		}
		tail := int64(20)
		log, _ := s.Cluster.Client().CoreV1().Pods(Namespace).GetLogs(p.Name, &corev1.PodLogOptions{TailLines: &tail}).DoRaw(ctx)
		text += "\n" + string(log)
	}
	return text
}

// Close ends the cluster, the server and the simulator.
func (s *Stage) Close() error {
	var errs []error
	if s.Cluster != nil {
		errs = append(errs, s.Cluster.Close())
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	if s.Simulator != nil {
		s.Simulator.Close()
	}
	return errors.Join(errs...)
}
