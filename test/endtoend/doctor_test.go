package endtoend

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/k8s/doctor"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/test/fixture"
	"github.com/onejob-dev/onejob/test/gobuild"
)

// A healthy installation has no failed check: a node pulls the runner's image for it. And
// the bundle has the scheduler's log and metrics, without the token.
func TestDoctor(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "onejob")
	if err := gobuild.Program(t.Context(), "", program, "../../cmd/onejob"); err != nil {
		t.Fatal(err)
	}
	kube := on.Cluster.Client()
	installed, err := kube.CoreV1().ConfigMaps(fixture.Namespace).Get(t.Context(), "onejob", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range installed.Data {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "/etc/onejob/", dir+"/")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bundle := filepath.Join(dir, "bundle.tar.gz")
	cmd := exec.CommandContext(t.Context(), program, "doctor", "-o", "json", "--queue", "default", "-f", filepath.Join(dir, "onejob.yaml"), "--bundle", bundle,
		"--kubeconfig", on.Cluster.KubeconfigPath, "--namespace", fixture.Namespace)
	cmd.Env = append(os.Environ(), "BUILDKITE_AGENT_TOKEN="+simulator.DefaultAgentToken)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%v: %s", err, said.String())
	}
	var report doctor.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	found := map[string]string{}
	for _, f := range report {
		t.Logf("%+v", f)
		if f.Result == doctor.Fail {
			t.Errorf("%s of %s: %s", f.Check, f.Of, f.Found)
		}
		found[f.Check+" "+string(f.Result)] = f.Found
	}
	for _, want := range []string{"token ok", "queue ok", "stack ok", "kubernetes ok", "scheduler ok", "rights ok", "pod-security ok", "template ok", "image ok"} {
		if found[want] == "" {
			t.Errorf("it found nothing for %s", want)
		}
	}
	left, err := kube.BatchV1().Jobs(fixture.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=doctor"})
	if err != nil || len(left.Items) > 0 {
		t.Errorf("it left %d Jobs, %v", len(left.Items), err)
	}
	inBundle(t, bundle)
}

func inBundle(t *testing.T, path string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	logs, metrics := false, false
	for archive := tar.NewReader(zipped); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), simulator.DefaultAgentToken) {
			t.Errorf("%s has the token", h.Name)
		}
		if strings.HasSuffix(h.Name, ".json") && !json.Valid(b) {
			t.Errorf("%s is no JSON", h.Name)
		}
		logs = logs || strings.HasSuffix(h.Name, ".log") && strings.Contains(string(b), `"level":`)
		metrics = metrics || strings.HasSuffix(h.Name, ".metrics") && strings.Contains(string(b), "onejob_leader")
		if strings.HasSuffix(h.Name, "errors.txt") && len(b) > 0 {
			t.Errorf("not all was read: %s", b)
		}
	}
	if !logs || !metrics {
		t.Errorf("in the bundle: logs %t, metrics %t", logs, metrics)
	}
}
