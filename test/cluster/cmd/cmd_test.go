//go:build linux

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// In the background the program starts itself again, which here is this binary.
func TestMain(m *testing.M) {
	if os.Getenv(backgroundVariable) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestUpAndDown(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster is left out by -short")
	}
	if s, err := readState(); err == nil {
		t.Skipf("a cluster is up, with %s: this test would end it", s.Kubeconfig)
	}
	call := func(args ...string) string {
		t.Helper()
		var out strings.Builder
		app := app()
		app.Writer = &out
		begin := time.Now()
		if err := app.RunContext(t.Context(), append([]string{"cluster"}, args...)); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
		t.Logf("%v took %s", args, time.Since(begin).Round(time.Millisecond))
		return out.String()
	}
	if got := call("down"); !strings.Contains(got, "no cluster is up") {
		t.Errorf("down before up: got %q", got)
	}
	t.Cleanup(func() { call("down") })
	out := call("up", "--nodes=0")
	path := strings.TrimSpace(call("kubeconfig"))
	if !strings.Contains(out, "export KUBECONFIG="+path+"\n") {
		t.Errorf("up says %q, want the kubeconfig %s in it", out, path)
	}
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Discovery().ServerVersion(); err != nil {
		t.Errorf("the cluster doesn't answer: %v", err)
	}
	if got := call("up"); !strings.Contains(got, "up already") {
		t.Errorf("up twice: got %q", got)
	}
	if got := call("down"); !strings.Contains(got, "is down") {
		t.Errorf("down: got %q", got)
	}
	if _, err := os.Stat(filepath.Dir(path)); !os.IsNotExist(err) {
		t.Errorf("the cluster's directory is still there: %v", err)
	}
	if _, err := os.Stat(statePath()); !os.IsNotExist(err) {
		t.Errorf("the state is still there: %v", err)
	}
}
