package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/simulator"
)

// The Simulator enforces Buildkite's documented limits on the calls of jobs.
func TestDocumentedLimits(t *testing.T) {
	many := func(n int, item string) string {
		return strings.TrimSuffix(strings.Repeat(item+",", n), ",")
	}
	upload := func(n int) string {
		return fmt.Sprintf(`{"uuid":"u%d","pipeline":{"steps":[%s]}}`, n, many(n, `{"command":"a"}`))
	}
	matrix := func(n int) string {
		return `{"uuid":"m","pipeline":{"steps":[{"command":"a {{matrix}}","matrix":[` + many(n, `"x"`) + `]}]}}`
	}
	tests := []struct {
		name, method, path, body string
		want                     int
	}{
		{"a pipeline of 500 jobs", "POST", "pipelines", upload(500), 200},
		{"a pipeline of 501 jobs", "POST", "pipelines", upload(501), 422},
		{"a matrix of 26 elements", "POST", "pipelines", matrix(26), 422},
		{"meta-data of 100 KB", "POST", "data/set", `{"key":"a","value":"` + strings.Repeat("x", 100<<10) + `"}`, 200},
		{"larger meta-data", "POST", "data/set", `{"key":"a","value":"` + strings.Repeat("x", 100<<10+1) + `"}`, 422},
		{"an annotation of 1 MiB", "POST", "annotations", `{"body":"` + strings.Repeat("x", 1<<20) + `"}`, 201},
		{"a larger annotation", "POST", "annotations", `{"body":"` + strings.Repeat("x", 1<<20+1) + `"}`, 422},
		{"an OIDC token for two hours", "POST", "oidc/tokens", `{"lifetime":7200}`, 200},
		{"one for longer", "POST", "oidc/tokens", `{"lifetime":7201}`, 422},
		{"5,001 artifacts", "POST", "artifacts", `{"id":"b","artifacts":[` + many(5001, `{"path":"a"}`) + `]}`, 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{SyncUploads: true}, func(w *wire) {
				id, session := w.build(`steps: [{command: a}]`)[0], w.session()
				token := w.acquire(session, id)
				w.call("PUT", "jobs/"+id+"/start", token, "", 200)
				if code, _, err := w.try(tt.method, "jobs/"+id+"/"+tt.path, token, tt.body); code != tt.want || err != nil {
					t.Errorf("%s: %d, %v; want %d", tt.path, code, err, tt.want)
				}
			})
		})
	}
}

// A build takes 500 uploads at most.
func TestUploadLimits(t *testing.T) {
	inBubble(t, simulator.Config{SyncUploads: true}, func(w *wire) {
		id, session := w.build(`steps: [{command: a}]`)[0], w.session()
		token := w.acquire(session, id)
		w.call("PUT", "jobs/"+id+"/start", token, "", 200)
		for n := range 501 {
			want := http.StatusOK
			if n == 500 {
				want = http.StatusUnprocessableEntity
			}
			w.call("POST", "jobs/"+id+"/pipelines", token, fmt.Sprintf(`{"uuid":"%d","pipeline":{"steps":[{"command":"b"}]}}`, n), want)
		}
	})
}

// A promised failure always counts. For a job that timed out, its exit status decides.
func TestPassed(t *testing.T) {
	for _, tt := range []struct {
		name, promise string
		timeOut       bool
		exit          string
		want          bool
	}{
		{"passed", "", false, "0", true},
		{"failed", "", false, "1", false},
		{"promised to fail", `{"exit_status":1}`, false, "0", false},
		{"timed out, and ended well", "", true, "0", true},
		{"timed out", "", true, "-1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, simulator.Config{}, func(w *wire) {
				id, session := w.build(`steps: [{command: a}]`)[0], w.session()
				token := w.acquire(session, id)
				w.call("PUT", "jobs/"+id+"/start", token, "", 200)
				if tt.promise != "" {
					if code, _, err := w.try("PUT", "jobs/"+id+"/promise_failure", token, tt.promise); code != 204 || err != nil {
						t.Fatalf("promise_failure: %d, %v", code, err)
					}
				}
				if tt.timeOut {
					if err := w.sim.TimeOutJob(id); err != nil {
						t.Fatal(err)
					}
				}
				w.call("PUT", "jobs/"+id+"/finish", token, `{"exit_status":"`+tt.exit+`"}`, 200)
				b := w.sim.Builds()[0]
				if j, _ := w.sim.Job(id); j.Passed != tt.want || (b.State == simulator.BuildPassed) != tt.want {
					t.Errorf("the job has passed: %t, the build is %s; want it passed: %t", j.Passed, b.State, tt.want)
				}
			})
		})
	}
}
