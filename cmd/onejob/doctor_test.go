package main

import (
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/doctor"
)

// Without a cluster, doctor says so in a line, and all that it can see without one.
func TestDoctorWithoutACluster(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	cfg := write(t, "endpoint: http://127.0.0.1:1/v3\nqueues: [{name: default, token-file: /nowhere}, {name: gpu, token-file: /nowhere}]\n")
	run(t, "doctor", "-f", cfg).wants(t, 1, "connection refused", "queue default", "there is none in /nowhere", "queue gpu", "no cluster to talk to", "Fix: give the cluster as for kubectl", "checks that failed: 2")
	if r := run(t, "doctor", "-f", cfg, "--queue", "gpu", "-o", "json"); strings.Contains(r.out, "queue default") || !strings.Contains(r.out, `"of": "queue gpu"`) {
		t.Errorf("--queue gpu: %s", r.out)
	}
	run(t, "doctor").wants(t, 2, "no configuration given")
	run(t, "doctor", "-f", cfg, "--queue", "linux").wants(t, 2, `no queue "linux"`)
}

// Colours are for terminals; the columns stay where they are.
func TestTellReport(t *testing.T) {
	r := doctor.Report{{Check: "token", Of: "queue a", Result: doctor.OK, Found: "good"}, {Check: "kubernetes", Result: doctor.Fail, Found: "gone\x1b[2J", Fix: "look"}}
	var plain, coloured strings.Builder
	tellReport(&plain, r, false)
	tellReport(&coloured, r, true)
	if want := "ok    token       queue a  good\nfail  kubernetes           gone [2J. Fix: look\n"; plain.String() != want {
		t.Errorf("got\n%swant\n%s", plain.String(), want)
	}
	if !strings.Contains(coloured.String(), "\x1b[32mok  \x1b[0m  token") || !strings.Contains(coloured.String(), "\x1b[31mfail\x1b[0m") {
		t.Errorf("got %q", coloured.String())
	}
}
