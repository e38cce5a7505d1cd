package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/test/cluster/sandbox"
)

// controlPlane is etcd, the API server, the controllers and the scheduler.
type controlPlane struct {
	cluster              *Cluster
	serving, kubelet     *pair
	tokens               *pair
	controllers, planner string // kubeconfigs

	mutex     sync.Mutex
	apiserver *sandbox.Process // nil while it is stopped
}

func (c *Cluster) newControlPlane() (*controlPlane, error) {
	p := &controlPlane{cluster: c}
	a := c.sandbox.Addresses
	var errs [5]error
	addresses := []string{"127.0.0.1", a.Inside, a.Bridge, serviceAddress}
	for n := range c.config.Nodes {
		address, _, _ := a.Node(n) // for its kubelet; see CutKubelet
		addresses = append(addresses, address)
	}
	p.serving, errs[0] = c.ca.sign("apiserver", "kube-apiserver", nil, addresses,
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"})
	p.kubelet, errs[1] = c.ca.sign("apiserver-kubelet", "kube-apiserver-kubelet-client", []string{"system:masters"}, nil, nil)
	p.tokens, errs[2] = c.ca.tokenKeys()
	p.controllers, errs[3] = c.componentConfig("controller-manager", a.Inside, "system:kube-controller-manager", "system:masters")
	p.planner, errs[4] = c.componentConfig("scheduler", a.Inside, "system:kube-scheduler")
	return p, errors.Join(errs[:]...)
}

// component starts one of the binary's.
func (c *Cluster) component(log string, args ...string) (*sandbox.Process, error) {
	return c.sandbox.Start(sandbox.Command{
		Name: log,
		Argv: append([]string{c.binaries.kube}, args...),
		Env:  environment(),
	})
}

// start returns when the API server answers and the other two are on their way.
func (p *controlPlane) start(ctx context.Context) error {
	c := p.cluster
	if _, err := c.component("etcd", "etcd", "--data-dir="+memory+"/etcd"); err != nil {
		return err
	}
	if err := p.startAPIServer(ctx); err != nil {
		return err
	}
	certificates := "--cert-dir=" + filepath.Join(c.sandbox.Dir, "pki", "self-signed")
	// The stock 20 queries a second hold back the creation of pods, and tests would measure that.
	qps := []string{"--kube-api-qps=1000", "--kube-api-burst=2000", "--leader-elect=false"}
	manager := append([]string{
		"kube-controller-manager", "--kubeconfig=" + p.controllers, certificates,
		"--root-ca-file=" + c.ca.file(), "--service-account-private-key-file=" + p.tokens.keyFile,
		"--concurrent-job-syncs=16",
		"--node-monitor-grace-period=20s", "--node-monitor-period=2s",
	}, qps...)
	if _, err := c.component("kube-controller-manager", append(manager, c.config.ControllerManagerArgs...)...); err != nil {
		return err
	}
	_, err := c.component("kube-scheduler", append([]string{"kube-scheduler", "--kubeconfig=" + p.planner, certificates}, qps...)...)
	return err
}

// ready waits until pods can be created: not before the default namespace has
// its service account.
func (p *controlPlane) ready(ctx context.Context) error {
	return until(ctx, nil, "waiting for the controllers", func(ctx context.Context) error {
		_, err := p.cluster.client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

func (p *controlPlane) startAPIServer(ctx context.Context) error {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.apiserver != nil {
		return nil
	}
	c := p.cluster
	args := []string{
		"kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		// 443 because that is the port of the service "kubernetes", and nothing translates it.
		"--secure-port=443", "--bind-address=0.0.0.0", "--advertise-address=" + c.sandbox.Addresses.Bridge,
		"--tls-cert-file=" + p.serving.certFile, "--tls-private-key-file=" + p.serving.keyFile,
		"--client-ca-file=" + c.ca.file(),
		"--kubelet-client-certificate=" + p.kubelet.certFile, "--kubelet-client-key=" + p.kubelet.keyFile,
		"--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range=" + serviceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + p.tokens.certFile, "--service-account-signing-key-file=" + p.tokens.keyFile,
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
	}
	process, err := c.component("kube-apiserver", append(args, c.config.APIServerArgs...)...)
	if err != nil {
		return err
	}
	p.apiserver = process
	return until(ctx, process, "waiting for the API server", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := c.client.RESTClient().Get().AbsPath("/readyz").DoRaw(ctx)
		if apierrors.IsInternalError(err) {
			return errors.New("/readyz says not yet")
		}
		return err
	})
}

// StopAPIServer stops the API server, orderly unless ctx ends first, and
// returns when it is gone: connections to it are then refused. The rest of the
// cluster stays.
func (c *Cluster) StopAPIServer(ctx context.Context) error {
	c.plane.mutex.Lock()
	defer c.plane.mutex.Unlock()
	process := c.plane.apiserver
	if process == nil {
		return nil
	}
	if err := process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	// It waits for its open requests, up to a minute; watches it ends. A test has less time.
	orderly, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if _, err := process.Wait(orderly); err != nil {
		if err := process.Signal(syscall.SIGKILL); err != nil {
			return err
		}
		<-process.Done()
	}
	c.plane.apiserver = nil
	return nil
}

// StartAPIServer starts the API server again, with the data that it had, and
// returns when it is ready. It does nothing when it runs.
func (c *Cluster) StartAPIServer(ctx context.Context) error {
	if err := c.plane.startAPIServer(ctx); err != nil {
		return fmt.Errorf("starting the API server: %w", err)
	}
	return nil
}
