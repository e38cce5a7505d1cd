package cluster_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/test/cluster"
)

// ownerVariable makes this test binary run a cluster until it is killed.
const ownerVariable = "ONEJOB_TEST_CLUSTER_OWNER"

func own() {
	c, err := cluster.Run(context.Background(), cluster.Config{Nodes: 1})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(c.KubeconfigPath)
	select {}
}

// A cluster in use, with containers, is left by an owner that had no chance to
// say anything. See package sandbox for the rest of the ways to die.
func TestKilledOwnerLeavesNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster is left out by -short")
	}
	sysctls := readSysctls(t)
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"=1")
	owner.Stderr = os.Stderr
	output, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = owner.Process.Kill()
		_ = owner.Wait()
	}()
	var kubeconfig string
	if _, err := fmt.Fscanln(output, &kubeconfig); err != nil {
		t.Fatalf("the owner has no cluster: %v", err)
	}
	dir := filepath.Dir(kubeconfig)
	slot := filepath.Base(dir)
	namespaces := namespacesOf(t, dir)
	if len(namespaces) == 0 {
		t.Fatal("found no process of the cluster, so this tests nothing")
	}
	if processes := inNamespaces(namespaces); len(processes) < 6 {
		t.Fatalf("found processes %v, want etcd, three of the control plane, kubelet and containerd at least", processes)
	}

	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	eventually(t, 3*time.Second, func(context.Context) error {
		left := inNamespaces(namespaces)
		for _, pattern := range []string{dir, "/sys/fs/cgroup/onejob-" + slot, "/sys/fs/cgroup/*/onejob-" + slot, "/sys/class/net/onejob" + slot} {
			paths, _ := filepath.Glob(pattern)
			left = append(left, paths...)
		}
		mounts, _ := os.ReadFile("/proc/self/mountinfo")
		if strings.Contains(string(mounts), dir+"/") {
			left = append(left, "mounts")
		}
		if len(left) > 0 {
			return fmt.Errorf("left: %v", left)
		}
		return nil
	})
	t.Logf("all gone %s after kill -9", time.Since(begin).Round(time.Millisecond))
	if after := readSysctls(t); after != sysctls {
		t.Errorf("the machine's sysctls went from %q to %q", sysctls, after)
	}
}

func readSysctls(t *testing.T) string {
	t.Helper()
	var all string
	for _, name := range []string{"vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"} {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		all += name + "=" + strings.TrimSpace(string(value)) + " "
	}
	return all
}

// namespacesOf returns the PID, mount and network namespaces of the processes
// whose command line names dir, where they differ from ours.
func namespacesOf(t *testing.T, dir string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(data), dir+"/") {
			continue
		}
		for _, kind := range []string{"pid", "mnt", "net"} {
			link, err := os.Readlink(filepath.Join(filepath.Dir(path), "ns", kind))
			if own, _ := os.Readlink("/proc/self/ns/" + kind); err == nil && link != own {
				found[link] = true
			}
		}
	}
	return found
}

func inNamespaces(namespaces map[string]bool) []string {
	pids := map[string]bool{}
	links, _ := filepath.Glob("/proc/[0-9]*/ns/*")
	for _, path := range links {
		if link, err := os.Readlink(path); err == nil && namespaces[link] {
			pids[strings.Split(path, "/")[2]] = true
		}
	}
	var all []string
	for pid := range pids {
		all = append(all, pid)
	}
	return all
}
