package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
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
	// matrix has dimensions of so many elements each, and so many adjustments, which add jobs.
	matrix := func(adjustments int, sizes ...int) string {
		var dims, added, names []string
		for i, n := range sizes {
			var elements []string
			for e := range n {
				elements = append(elements, fmt.Sprintf("%q", fmt.Sprint(e)))
			}
			dims = append(dims, fmt.Sprintf(`"d%d":[%s]`, i, strings.Join(elements, ",")))
			names = append(names, fmt.Sprintf("{{matrix.d%d}}", i))
		}
		for n := range adjustments {
			added = append(added, fmt.Sprintf(`{"with":{"d0":"more%d"}}`, n))
		}
		return fmt.Sprintf(`{"uuid":"m","pipeline":{"steps":[{"command":%q,"matrix":{"setup":{%s},"adjustments":[%s]}}]}}`,
			"a "+strings.Join(names, " "), strings.Join(dims, ","), strings.Join(added, ","))
	}
	artifact := func(bytes int) string {
		return fmt.Sprintf(`{"id":"b","artifacts":[{"path":"a","file_size":%d}]}`, bytes)
	}
	chunk := func(offset int) string { return fmt.Sprintf("chunks?sequence=1&offset=%d&size=10", offset) }
	tests := []struct {
		name, method, path, body string
		want                     int
	}{
		{"a pipeline of 500 jobs", "POST", "pipelines", upload(500), 200},
		{"a pipeline of 501 jobs", "POST", "pipelines", upload(501), 422},
		{"a matrix of 25 elements", "POST", "pipelines", matrix(0, 25), 200},
		{"a matrix of 26 elements", "POST", "pipelines", matrix(0, 26), 422},
		{"a matrix of 50 jobs", "POST", "pipelines", matrix(0, 25, 2), 200},
		{"a matrix of 51 jobs", "POST", "pipelines", matrix(0, 17, 3), 422},
		{"a matrix of 6 dimensions", "POST", "pipelines", matrix(0, 2, 2, 2, 2, 1, 1), 200},
		{"a matrix of 7 dimensions", "POST", "pipelines", matrix(0, 2, 2, 2, 2, 1, 1, 1), 422},
		{"a matrix with 12 adjustments", "POST", "pipelines", matrix(12, 2), 200},
		{"a matrix with 13 adjustments", "POST", "pipelines", matrix(13, 2), 422},
		{"ten retries", "POST", "pipelines", `{"uuid":"r","pipeline":{"steps":[{"command":"a","retry":{"automatic":{"limit":10}}}]}}`, 200},
		{"eleven retries", "POST", "pipelines", `{"uuid":"r","pipeline":{"steps":[{"command":"a","retry":{"automatic":{"limit":11}}}]}}`, 422},
		{"meta-data of 100 KB", "POST", "data/set", `{"key":"a","value":"` + strings.Repeat("x", 100<<10) + `"}`, 200},
		{"larger meta-data", "POST", "data/set", `{"key":"a","value":"` + strings.Repeat("x", 100<<10+1) + `"}`, 422},
		{"an annotation of 1 MiB", "POST", "annotations", `{"body":"` + strings.Repeat("x", 1<<20) + `"}`, 201},
		{"a larger annotation", "POST", "annotations", `{"body":"` + strings.Repeat("x", 1<<20+1) + `"}`, 422},
		{"an OIDC token for two hours", "POST", "oidc/tokens", `{"lifetime":7200}`, 200},
		{"one for longer", "POST", "oidc/tokens", `{"lifetime":7201}`, 422},
		{"a log of 1,024 MiB", "POST", chunk(1<<30 - 10), "ten bytes\n", 200},
		{"a longer log", "POST", chunk(1<<30 - 9), "ten bytes\n", 422},
		{"an artifact of 10 GiB", "POST", "artifacts", artifact(10 << 30), 201},
		{"a larger artifact", "POST", "artifacts", artifact(10<<30 + 1), 422},
		{"5,000 artifacts", "POST", "artifacts", `{"id":"b","artifacts":[` + many(5000, `{"path":"a"}`) + `]}`, 201},
		{"5,001 artifacts", "POST", "artifacts", `{"id":"b","artifacts":[` + many(5001, `{"path":"a"}`) + `]}`, 422},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conf := simulator.Config{SyncUploads: true, ArtifactMaxBytes: 1 << 40}
			conf.Profile.LogBeyondLimit = assumptions.LogBeyondLimitRefused
			inBubble(t, conf, func(w *wire) {
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

// A build has 4,000 jobs at most.
func TestJobsOfABuild(t *testing.T) {
	inBubble(t, simulator.Config{SyncUploads: true}, func(w *wire) {
		id, session := w.build(`steps: [{command: a}]`)[0], w.session()
		token := w.acquire(session, id)
		w.call("PUT", "jobs/"+id+"/start", token, "", 200)
		uploads := 0
		upload := func(jobs, want int) {
			uploads++
			w.call("POST", "jobs/"+id+"/pipelines", token, fmt.Sprintf(`{"uuid":"%d","pipeline":{"steps":[{"command":"b","parallelism":%d}]}}`, uploads, jobs), want)
		}
		for range 7 {
			upload(500, 200)
		}
		upload(500, 422) // with the first one it would be one too many
		upload(499, 200)
		upload(1, 422)
		if n := len(w.sim.Builds()[0].JobIDs); n != 4000 {
			t.Errorf("the build has %d jobs", n)
		}
	})
}

// Artifacts are created and updated by 600 calls a minute at most.
func TestArtifactCalls(t *testing.T) {
	for _, free := range []bool{false, true} {
		inBubble(t, simulator.Config{RateLimits: simulator.RateLimits{Disabled: free}}, func(w *wire) {
			id, session := w.build(`steps: [{command: a}]`)[0], w.session()
			token := w.acquire(session, id)
			w.call("PUT", "jobs/"+id+"/start", token, "", 200)
			create := func(want int) {
				w.call("POST", "jobs/"+id+"/artifacts", token, `{"id":"b","artifacts":[]}`, want)
			}
			update := func(want int) { w.call("PUT", "jobs/"+id+"/artifacts", token, `{"artifacts":[]}`, want) }
			for range 300 {
				create(201)
				update(200)
			}
			if free {
				create(201)
				return
			}
			create(429)
			update(429)
			time.Sleep(time.Minute)
			create(201)
		})
	}
}

// A secret has 32 KiB at most.
func TestSecretLimit(t *testing.T) {
	large := strings.Repeat("x", 32<<10)
	if err := simulator.CheckSecrets(map[string]string{"A": large}); err != nil {
		t.Error(err)
	}
	err := simulator.CheckSecrets(map[string]string{"A": large, "B": large + "x"})
	if err == nil || !strings.Contains(err.Error(), "the secret B is too large (32769 bytes, maximum is 32768)") {
		t.Errorf("a larger one: %v", err)
	}
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
