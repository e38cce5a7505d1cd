package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/onejob-dev/onejob/test/cluster"
)

// A cut keeps pods from what it names, and from nothing else, until it is mended.
func TestCut(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	serve := func() (address string, port int) {
		listener, err := net.Listen("tcp", net.JoinHostPort(c.HostAddress, "0"))
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "reached") })}
		go func() { _ = server.Serve(listener) }()
		t.Cleanup(func() { server.Close() })
		return listener.Addr().String(), listener.Addr().(*net.TCPAddr).Port
	}
	near, port := serve()
	other, _ := serve()
	node, err := c.PodsOf(c.NodeNames[0])
	if err != nil {
		t.Fatal(err)
	}
	ns := namespace(t, c, "restricted")
	n := 0
	get := func(address string) (log string, ok bool) {
		n++
		name := fmt.Sprintf("get-%d", n)
		createJob(t, c, ns, name, aPod("get", "http://"+address))
		ok = finished(t, c, ns, name) == batchv1.JobComplete
		return logOf(t, c, ns, podOf(t, c, ns, name).Name), ok
	}
	for _, from := range []string{"", node} {
		mend, err := c.Cut(t.Context(), cluster.Cut{From: from, To: c.HostAddress, Port: port, Refuse: true})
		if err != nil {
			t.Fatal(err)
		}
		if log, ok := get(near); ok {
			t.Errorf("cut off from %q, a pod got %q", from, log)
		}
		if log, ok := get(other); !ok {
			t.Errorf("from %q, the cut holds for another port too: %s", from, log)
		}
		if err := mend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if log, ok := get(near); !ok {
		t.Errorf("after the cuts were mended: %s", log)
	}

	api := net.JoinHostPort(cluster.APIServer, fmt.Sprint(cluster.APIServerPort))
	const talks = "HTTPS"
	if log, _ := get(api); !strings.Contains(log, talks) {
		t.Fatalf("the API server says %q to plain HTTP, want something of %s: else this tests nothing", log, talks)
	}
	mend, err := c.Cut(t.Context(), cluster.Cut{To: cluster.APIServer, Port: cluster.APIServerPort, Refuse: true})
	if err != nil {
		t.Fatal(err)
	}
	if log, _ := get(api); strings.Contains(log, talks) {
		t.Errorf("cut off from the API server, a pod got %q", log)
	}
	if err := mend(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// What runs in a pod can be found and killed from outside.
func TestPodProcesses(t *testing.T) {
	c := cluster.Shared(t, cluster.Config{Nodes: 1})
	ns := namespace(t, c, "restricted")
	for _, name := range []string{"victim", "bystander"} {
		createJob(t, c, ns, name, aPod("sleep", "300"))
		running(t, c, ns, name)
	}
	all, err := c.PodProcesses(podOf(t, c, ns, "victim").UID)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(p cluster.PodProcess) bool { return slices.Contains(p.Argv, "300") })
	if i < 0 {
		t.Fatalf("found %v, want the sleep among them", all)
	}
	if err := syscall.Kill(all[i].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if got := finished(t, c, ns, "victim"); got != batchv1.JobFailed {
		t.Errorf("got %s, want Failed", got)
	}
	if end := podOf(t, c, ns, "victim").Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != 137 {
		t.Errorf("it ended with %+v, want 137", end)
	}
	if left, err := c.PodProcesses(podOf(t, c, ns, "bystander").UID); err != nil || len(left) == 0 {
		t.Errorf("the bystander runs %v (%v)", left, err)
	}
	eventually(t, 10*time.Second, func(context.Context) error {
		if left, err := c.PodProcesses(podOf(t, c, ns, "victim").UID); err != nil || len(left) > 0 {
			return errors.Join(err, fmt.Errorf("the victim still runs %v", left))
		}
		return nil
	})
}
