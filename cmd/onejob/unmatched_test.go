package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/k8s/operate"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

const emptyStack = "onejob-4a49acf8-default"

// emptyCluster is a kubeconfig of an API server that has nothing but a scheduler's Lease,
// which makes its stack that of the key emptyStack.
func emptyCluster(t *testing.T) string {
	t.Helper()
	kinds := map[string]string{"jobs": "batch/v1 JobList", "pods": "v1 PodList", "events": "v1 EventList"}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path.Base(path.Dir(r.URL.Path)) == "leases" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprint(w, `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"onejob","uid":"uid-1"}}`)
			return
		}
		version, kind, ok := strings.Cut(kinds[path.Base(r.URL.Path)], " ")
		if !ok {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"apiVersion":%q,"kind":%q,"metadata":{},"items":[]}`, version, kind)
	}))
	t.Cleanup(server.Close)
	return write(t, fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, namespace: builds}}], clusters: [{name: c, cluster: {server: %q}}]}`, server.URL))
}

// jobs and explain tell of a job that waits for a tag, which has no kjob.
func TestUnmatchedJobs(t *testing.T) {
	sim := simulator.New(simulator.Config{})
	t.Cleanup(sim.Close)
	server := httptest.NewServer(sim)
	t.Cleanup(server.Close)
	b, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: []byte("steps: [{command: make}, {command: make, key: big, agents: {queue: default, resource_class: large}}]")})
	if err != nil {
		t.Fatal(err)
	}
	fits, big := b.JobIDs[0], b.JobIDs[1]
	t.Setenv("KUBECONFIG", emptyCluster(t))
	t.Setenv("ONEJOB_CONFIG", write(t, "endpoint: "+server.URL+"/v3\ntoken-file: "+write(t, simulator.DefaultAgentToken)+
		"\nqueues:\n- {name: default, tags: [resource_class=small]}\n- {name: other, namespace: elsewhere}\n- {name: elsewhere, token-file: /nowhere, tags: [resource_class=large]}\n"))

	run(t, "jobs").wants(t, 0, "doesn't know the queue's stack")
	client, err := stacks.New(stacks.Config{Endpoint: server.URL + "/v3", Token: stacks.Token(simulator.DefaultAgentToken), Stack: emptyStack, Queue: "default"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Register(t.Context(), nil); err != nil {
		t.Fatal(err)
	}

	const why = "queue default lacks the tag resource_class=large, and offers resource_class=small"
	r := run(t, "jobs", "-o", "wide")
	r.wants(t, 0, big, "unmatched", why, "builds", "demo", "big")
	if strings.Contains(r.out, fits) || r.err != "" {
		t.Errorf("it should tell of one job only:\n%s%s", r.out, r.err)
	}
	var rows []operate.Row
	r = run(t, "jobs", "-o", "json", "--unfinished")
	if err := json.Unmarshal([]byte(r.out), &rows); err != nil || len(rows) != 1 || rows[0].JobID.String() != big || rows[0].Phase != "unmatched" || rows[0].Attempt != 0 {
		t.Errorf("-o json: %+v, %v", rows, err)
	}
	run(t, "explain", "--queue", "default", big).wants(t, 0, why, "change the step's agents")
	run(t, "explain", "--queue", "default", fits).wants(t, 0, "waits for a free slot")
	run(t, "jobs", "--token-file", "/nowhere").wants(t, 0, "JOB", "queue default: can't list jobs that ask for a tag which no queue has")
	run(t, "jobs", "-f", write(t, "queues: 5")).wants(t, 0, "JOB", "can't list jobs")
	t.Setenv("ONEJOB_CONFIG", "")
	run(t, "jobs").wants(t, 0, "JOB", "This list leaves out jobs that ask for a tag which no queue has", "-f FILE")
	if r := run(t, "jobs", "-o", "json"); r.code != 0 || r.err != "" {
		t.Errorf("a program's list has no foot: %+v", r)
	}
	noToken := write(t, "token-file: /nowhere\nqueues:\n- {name: default}\n- {name: other}\n")
	if r := run(t, "jobs", "-f", noToken); r.code != 0 || strings.Count(r.err, "This list leaves out") != 1 || !strings.Contains(r.err, "--token-file") {
		t.Errorf("without a token: %+v", r)
	}
}
