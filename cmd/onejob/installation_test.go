package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/simulator"
)

// helmCluster is a kubeconfig of an API server with the Lease of `helm install ci` in
// namespace ci, where the context is, too.
func helmCluster(t *testing.T) string {
	t.Helper()
	has := map[string]string{
		"/apis/coordination.k8s.io/v1/namespaces/ci/leases/ci-onejob": `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"ci-onejob","uid":"uid-1"}}`,
		"/api/v1/namespaces/ci":                       `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"ci","uid":"ns"}}`,
		"/apis/batch/v1/namespaces/ci/jobs":           `{"apiVersion":"batch/v1","kind":"JobList","metadata":{},"items":[]}`,
		"/api/v1/namespaces/ci/pods":                  `{"apiVersion":"v1","kind":"PodList","metadata":{},"items":[]}`,
		"/apis/events.k8s.io/v1/namespaces/ci/events": `{"apiVersion":"events.k8s.io/v1","kind":"EventList","metadata":{},"items":[]}`,
		"/api/v1/namespaces/ci/events":                `{"apiVersion":"v1","kind":"EventList","metadata":{},"items":[]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		text, ok := has[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			text = fmt.Sprintf(`{"apiVersion":"v1","kind":"Status","status":"Failure","reason":"NotFound","code":404,"message":"%s not found"}`, path.Base(r.URL.Path))
		}
		_, _ = fmt.Fprint(w, text)
	}))
	t.Cleanup(server.Close)
	return write(t, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, namespace: ci}}], clusters: [{name: c, cluster: {server: %q}}]}`, server.URL))
}

// People's commands don't guess whose stacks and Kubernetes Jobs they mean: what they
// make without knowing is marked as nobody's, so that the scheduler there looks after it.
func TestCommandsDoNotGuess(t *testing.T) {
	sim := simulator.New(simulator.Config{Queues: []string{"default", "other"}})
	t.Cleanup(sim.Close)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	b, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make}]")})
	if err != nil {
		t.Fatal(err)
	}
	id := b.JobIDs[0]
	head := "endpoint: " + server.URL + "/v3\ntoken-file: " + write(t, simulator.DefaultAgentToken) + "\n"
	derived := write(t, head+"queues: [{name: default}]\n")
	given := write(t, head+"stack: mine\nqueues: [{name: default}]\n")
	both := write(t, head+"queues: [{name: default}, {name: other, stack: theirs}]\n")
	t.Setenv("KUBECONFIG", helmCluster(t))
	const mark, none = contract.LabelInstallation + ": ", "the installation's stacks are not known"

	for _, tt := range []struct {
		name, config string
		lease        []string
		mark, says   string
	}{
		{"no --lease", derived, nil, "", "reading the Lease onejob in namespace ci"},
		{"the wrong one", derived, []string{"--lease", "cd-onejob"}, "", "reading the Lease cd-onejob in namespace ci"},
		{"the right one", derived, []string{"--lease", "ci-onejob"}, "ci.ci-onejob", ""},
		{"no --lease, and a stack is given", given, nil, "", ""},
		{"the right one, and a stack is given", given, []string{"--lease", "ci-onejob"}, "ci.ci-onejob", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, append([]string{"reacquire", "-f", tt.config, "--dry-run", "-o", "yaml", id}, tt.lease...)...)
			r.wants(t, 0, "name: onejob-"+id)
			if tt.mark != "" {
				r.wants(t, 0, mark+tt.mark)
			} else if strings.Contains(r.out, mark) {
				t.Errorf("it is marked as an installation's that isn't known:\n%s", r.out)
			}
			if tt.says != "" {
				r.wants(t, 0, none, tt.says, "--lease NAME", "no installation's mark")
			} else if r.err != "" {
				t.Errorf("it says %q", r.err)
			}
		})
	}
	run(t, "explain", "-f", derived, id).wants(t, 0, none, "reading the Lease onejob in namespace ci")

	r := run(t, "deregister", "-f", derived, "--dry-run")
	r.wants(t, 1, "which stacks are this installation's is not known", "the Lease onejob in namespace ci", "--lease NAME", "--stack")
	if r.out != "" {
		t.Errorf("it prints a key that never was: %s", r.out)
	}
	r = run(t, "deregister", "-f", derived, "--dry-run", "--lease", "cd-onejob")
	r.wants(t, 0, "there is nothing to deregister")
	if r.out != "" {
		t.Errorf("it prints a key that never was: %s", r.out)
	}
	run(t, "deregister", "-f", derived, "--dry-run", "--lease", "ci-onejob").wants(t, 0, emptyStack)
	run(t, "deregister", "-f", derived, "--dry-run", "--stack", "onejob-default").wants(t, 0, "onejob-default")
	// A stack that the file names needs no Lease.
	run(t, "deregister", "-f", given, "--dry-run").wants(t, 0, "mine-default")
	run(t, "deregister", "-f", both, "--dry-run", "-q", "other").wants(t, 0, "theirs")
	for lease, code := range map[string]int{"": 1, "cd-onejob": 0} {
		args := []string{"deregister", "-f", both, "--dry-run"}
		if lease != "" {
			args = append(args, "--lease", lease)
		}
		r := run(t, args...)
		if r.code != code || r.out != "theirs\n" {
			t.Errorf("with the Lease %q: exit code %d, %q\n%s", lease, r.code, r.out, r.err)
		}
	}
}
