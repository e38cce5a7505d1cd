package cluster

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// kubeletConfig, with what differs from the defaults and why:
//
//   - failCgroupV1, cgroupDriver: the machine's cgroups are taken as they are.
//   - cgroupRoot: nodes on one machine must not take each other's pods for orphans.
//   - oomScoreAdj: lowering it takes CAP_SYS_RESOURCE, which root may lack.
//   - image collection and eviction leave alone a disk that is fuller than a
//     node's should be: it is a developer's.
//   - serializeImagePulls: one that hangs must not keep the other pods' waiting.
//   - nodeLeaseDurationSeconds: renewed four times as often, for the controllers'
//     20 s of grace.
//   - imagePullCredentialsVerificationPolicy: an imported image that is pulled by
//     another name too is else no longer there for pods that may not pull it.
//   - resolvConf is empty: there is no DNS, and a lookup should fail at once.
const kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
authentication:
  x509: {clientCAFile: %[2]s}
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: %[3]s
containerRuntimeEndpoint: unix://%[4]s
oomScoreAdj: 0
failSwapOn: false
imageGCHighThresholdPercent: 100
imagePullCredentialsVerificationPolicy: NeverVerify
evictionHard: {memory.available: 100Mi, nodefs.available: 1%%, imagefs.available: 1%%, nodefs.inodesFree: 1%%}
serializeImagePulls: false
maxPods: 240
kubeAPIQPS: 200
kubeAPIBurst: 400
nodeLeaseDurationSeconds: 12
nodeStatusUpdateFrequency: 5s
podLogsDir: %[5]s/pod-logs
volumePluginDir: %[5]s/volume-plugins
resolvConf: %[5]s/resolv.conf
healthzBindAddress: %[1]s
healthzPort: 10248
`

func (n *node) startKubelet(ctx context.Context) error {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.kubelet != nil {
		return nil
	}
	c := n.cluster
	var err error
	if n.cgroup, err = c.sandbox.MakeCgroup(n.name); err != nil {
		return err
	}
	kubeconfig, err := c.componentConfig(n.name, n.address, "system:node:"+n.name, "system:nodes")
	if err != nil {
		return err
	}
	config := filepath.Join(n.dir, "kubelet.yaml")
	text := fmt.Sprintf(kubeletConfig, n.address, c.ca.file(), n.cgroup, n.socket(), n.dir)
	for path, content := range map[string]string{config: text, filepath.Join(n.dir, "resolv.conf"): ""} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	args := []string{
		"kubelet", "--config=" + config, "--kubeconfig=" + kubeconfig,
		"--hostname-override=" + n.name, "--node-ip=" + n.address,
		"--root-dir=" + filepath.Join(n.dir, "kubelet"), "--cert-dir=" + filepath.Join(n.dir, "kubelet-pki"),
	}
	process, err := c.component(n.name+"-kubelet", append(args, c.config.KubeletArgs...)...)
	if err != nil {
		return err
	}
	n.kubelet = process
	// The pods' network has a route from the machine, and the node's address is in it.
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	return until(ctx, process, "waiting for the kubelet of "+n.name, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address+":10248/healthz", strings.NewReader(""))
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return fmt.Errorf("/healthz says %s", response.Status)
		}
		return nil
	})
}
