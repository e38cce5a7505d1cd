package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/k8s/doctor"
)

// doctor says of each thing what a person with given rights can see of it, and leaves
// nothing behind. No node is here, and no scheduler.
func TestDoctor(t *testing.T) {
	l := aLab(t)
	args := []string{"doctor", "--pull-timeout", "10s", "-n", l.namespace}
	r := run(t, args...)
	r.wants(t, 0, "Buildkite accepts it: organization acme", "it exists and isn't paused", "one more stack is allowed",
		"who runs this may not watch jobs", "no right to create pods", "no node took the pod within 10s", "no pod of the scheduler is in this namespace")

	admin := append([]string{"--kubeconfig", l.cluster.KubeconfigPath}, "-o", "json")
	r = run(t, append(args, admin...)...)
	r.wants(t, 1, "checks that failed: 1")
	finding := func(check string) doctor.Finding {
		var report doctor.Report
		if err := json.Unmarshal([]byte(r.out), &report); err != nil {
			t.Fatalf("%v:\n%s", err, r.out)
		}
		for _, f := range report {
			if f.Check == check {
				return f
			}
		}
		return doctor.Finding{}
	}
	for check, want := range map[string]struct {
		result doctor.Result
		found  string
	}{
		"kubernetes": {doctor.OK, "v1."}, "proxy": {doctor.OK, "directly"}, "rights": {doctor.OK, "all that the scheduler needs"},
		"pod-security": {doctor.OK, "enforces restricted, which the template's pods meet"}, "versions": {doctor.OK, "pod contract 3"},
		"template": {doctor.Fail, "onejob-agent-token"}, "config": {doctor.OK, ""}, "clock": {doctor.OK, "within 3s"},
	} {
		if f := finding(check); f.Result != want.result || !strings.Contains(f.Found, want.found) {
			t.Errorf("%s: got %+v, want %s, %q", check, f, want.result, want.found)
		}
	}
	for account, want := range map[string]doctor.Result{"onejob": doctor.Fail, "another": doctor.Warn} {
		r = run(t, append(args, append(admin, "--no-pull", "--as", "system:serviceaccount:"+l.namespace+":"+account)...)...)
		if f := finding("rights"); f.Result != want || !strings.Contains(f.Found, "may not get jobs") {
			t.Errorf("as the account %s, without rights: %+v, want %s", account, f, want)
		}
	}
	_, err := l.admin.CoreV1().Secrets(l.namespace).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "onejob-agent-token"}, StringData: map[string]string{"token": "x"}}, metav1.CreateOptions{})
	l.must(err)
	if r = run(t, append(args, append(admin, "--no-pull", "--as", "system:serviceaccount:"+l.namespace+":operator", "--as-group", "system:masters")...)...); finding("template").Result != doctor.OK || finding("image").Check != "" {
		t.Errorf("with the Secret, and --no-pull: %+v, %+v", finding("template"), finding("image"))
	}

	loose := write(t, "endpoint: "+strings.Split(strings.Split(readFile(t, l.config), "endpoint: ")[1], "\n")[0]+"\ntoken-file: "+l.token+"\nqueues: [{name: default, template: {inline: {spec: {hostNetwork: true}}}}]\n")
	r = run(t, append(args, append(admin, "--no-pull", "-f", loose)...)...)
	if f := finding("pod-security"); f.Result != doctor.Fail || !strings.Contains(f.Fix, "enforce=privileged") {
		t.Errorf("a template that the namespace refuses: %+v", f)
	}
	if n := len(l.kjobs()); n != 0 {
		t.Errorf("it left %d Jobs", n)
	}
	for _, s := range l.sim.Stacks() {
		if s.State == "connected" {
			t.Errorf("it left the stack %s", s.Key)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A bundle is written whole, readable by its owner alone, and only where that is asked for.
func TestDoctorBundle(t *testing.T) {
	l := aLab(t)
	path := filepath.Join(t.TempDir(), "bundle.tar.gz")
	run(t, "doctor", "--no-pull", "-n", l.namespace, "--bundle", path).wants(t, 0, path+" is written")
	info, err := os.Stat(path)
	l.must(err)
	if info.Mode().Perm() != 0o600 || info.Size() < 500 {
		t.Errorf("the bundle has mode %s and %d bytes", info.Mode(), info.Size())
	}
	run(t, "doctor", "--no-pull", "--bundle", "/nowhere/x").wants(t, 2, "/nowhere/x")
	if _, err := os.Stat(path + ".new"); err == nil {
		t.Error("a file is left beside the bundle")
	}
}
