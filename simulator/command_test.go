package simulator_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/buildkite/agent/v3/api"
	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/simulator"
)

// TestWhatJobsAskFor calls each helper endpoint with the real client, with refusals. Stock
// commands do the same in TestStockAgentRunsJobs, without refusals.
func TestWhatJobsAskFor(t *testing.T) {
	l := newLab(t, simulator.Config{Secrets: map[string]string{"KEY": "VALUE"}})
	build, ids := l.build(`steps: [{command: a, key: one, label: One}, {command: b, key: two}, {command: c, key: three}]`)
	job, c := l.start(ids[0])
	other, err := l.CreateBuild(simulator.BuildRequest{Pipeline: []byte(`steps: [{command: z, key: alien}]`)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, id := t.Context(), ids[0]
	j, _ := l.Job(id)
	alien := l.job(other.JobIDs[0])

	first := func(resp *api.Response, err error) (*api.Response, error) { return resp, err }
	tests := []struct {
		name string
		call func() (*api.Response, error)
		want int
	}{
		{"annotate", func() (*api.Response, error) {
			return c.Annotate(ctx, id, &api.Annotation{Body: "x", Context: "a.b/c", Scope: "build"})
		}, 201},
		{"annotate with nothing", func() (*api.Response, error) { return c.Annotate(ctx, id, &api.Annotation{Context: "n"}) }, 422},
		{"annotate in purple", func() (*api.Response, error) { return c.Annotate(ctx, id, &api.Annotation{Body: "x", Style: "purple"}) }, 422},
		{"remove annotation", func() (*api.Response, error) { return c.AnnotationRemove(ctx, id, "a.b/c", "build") }, 204},
		{"remove it again", func() (*api.Response, error) { return c.AnnotationRemove(ctx, id, "a.b/c", "build") }, 404},
		{"set meta-data", func() (*api.Response, error) { return c.SetMetaData(ctx, id, &api.MetaData{Key: "k", Value: "v"}) }, 200},
		{"set without key", func() (*api.Response, error) { return c.SetMetaData(ctx, id, &api.MetaData{Value: "v"}) }, 422},
		{"get by build", func() (*api.Response, error) {
			m, resp, err := c.GetMetaData(ctx, "build", build.ID, "k")
			if err == nil && m.Value != "v" {
				t.Errorf("meta-data = %+v", m)
			}
			return resp, err
		}, 200},
		{"get what isn't there", func() (*api.Response, error) { _, resp, err := c.GetMetaData(ctx, "job", id, "no"); return resp, err }, 404},
		{"of another build", func() (*api.Response, error) {
			_, resp, err := c.GetMetaData(ctx, "build", other.ID, "k")
			return resp, err
		}, 401},
		{"of no build", func() (*api.Response, error) {
			_, resp, err := c.MetaDataKeys(ctx, "build", "nobody")
			return resp, err
		}, 404},
		{"export step", func() (*api.Response, error) {
			out, resp, err := c.StepExport(ctx, "one", &api.StepExportRequest{Attribute: "label", Build: build.ID})
			if err == nil && out.Output != "One" {
				t.Errorf("label = %q", out.Output)
			}
			return resp, err
		}, 200},
		{"export its state", func() (*api.Response, error) {
			out, resp, err := c.StepExport(ctx, j.StepID, &api.StepExportRequest{Attribute: "state"})
			if err == nil && out.Output != "running" {
				t.Errorf("state = %q", out.Output)
			}
			return resp, err
		}, 200},
		{"export nonsense", func() (*api.Response, error) {
			_, resp, err := c.StepExport(ctx, "one", &api.StepExportRequest{Attribute: "nonsense"})
			return resp, err
		}, 422},
		{"export another build's step", func() (*api.Response, error) {
			_, resp, err := c.StepExport(ctx, alien.StepID, &api.StepExportRequest{Attribute: "label"})
			return resp, err
		}, 404},
		{"update step", func() (*api.Response, error) {
			return c.StepUpdate(ctx, "one", &api.StepUpdate{IdempotencyUUID: "u", Attribute: "label", Value: "!", Append: true})
		}, 200},
		{"update again by the same uuid", func() (*api.Response, error) {
			return c.StepUpdate(ctx, "one", &api.StepUpdate{IdempotencyUUID: "u", Attribute: "label", Value: "!", Append: true})
		}, 200},
		{"update the command", func() (*api.Response, error) {
			return c.StepUpdate(ctx, "one", &api.StepUpdate{Attribute: "command", Value: "x"})
		}, 422},
		{"cancel step", func() (*api.Response, error) {
			_, resp, err := c.StepCancel(ctx, "two", &api.StepCancel{Build: build.ID})
			return resp, err
		}, 200},
		{"cancel no step", func() (*api.Response, error) {
			_, resp, err := c.StepCancel(ctx, "nobody", &api.StepCancel{Build: build.ID})
			return resp, err
		}, 404},
		{"secret", func() (*api.Response, error) {
			secret, resp, err := c.GetSecret(ctx, &api.GetSecretRequest{Key: "KEY", JobID: id})
			if err == nil && secret.Value != "VALUE" {
				t.Errorf("secret = %+v", secret)
			}
			return resp, err
		}, 200},
		{"no secret", func() (*api.Response, error) {
			_, resp, err := c.GetSecret(ctx, &api.GetSecretRequest{Key: "NO", JobID: id})
			return resp, err
		}, 404},
		{"oidc", func() (*api.Response, error) {
			token, resp, err := c.OIDCToken(ctx, &api.OIDCTokenRequest{Job: id, Audience: "there"})
			if err == nil && claim(t, token.Token, "aud") != "there" {
				t.Errorf("audience = %v", claim(t, token.Token, "aud"))
			}
			return resp, err
		}, 200},
		{"repository token", func() (*api.Response, error) {
			_, resp, err := c.GenerateRepositoryAccessToken(ctx, job.Env["BUILDKITE_REPO"], id)
			return resp, err
		}, 200},
		{"of another repository", func() (*api.Response, error) {
			_, resp, err := c.GenerateRepositoryAccessToken(ctx, "elsewhere", id)
			return resp, err
		}, 404},
		{"update priority", func() (*api.Response, error) {
			_, resp, err := c.UpdateJob(ctx, id, map[string]string{"priority": "9"})
			return resp, err
		}, 200},
		{"update anything else", func() (*api.Response, error) {
			_, resp, err := c.UpdateJob(ctx, id, map[string]string{"command": "x"})
			return resp, err
		}, 422},
		{"promise failure", func() (*api.Response, error) {
			return first(c.PromiseFailure(ctx, id, &api.JobPromiseFailureRequest{ExitStatus: 2, Reason: "soon"}))
		}, 204},
		{"promise success", func() (*api.Response, error) {
			return first(c.PromiseFailure(ctx, id, &api.JobPromiseFailureRequest{}))
		}, 422},
		{"no cache registry", func() (*api.Response, error) { _, resp, err := c.CacheRegistry(ctx, "main"); return resp, err }, 404},
		{"upload nothing", func() (*api.Response, error) { return c.UploadPipeline(ctx, id, &api.PipelineChange{}) }, 422},
		{"pause the agent from the job", func() (*api.Response, error) { return c.Pause(ctx, &api.AgentPauseRequest{Note: "n"}) }, 200},
		{"pause it again", func() (*api.Response, error) { return c.Pause(ctx, &api.AgentPauseRequest{}) }, 422},
		{"resume it", func() (*api.Response, error) { return c.Resume(ctx) }, 200},
		{"cancel another build", func() (*api.Response, error) { _, resp, err := c.CancelBuild(ctx, other.ID); return resp, err }, 401},
		{"cancel the build", func() (*api.Response, error) { _, resp, err := c.CancelBuild(ctx, build.ID); return resp, err }, 200},
	}
	for _, tt := range tests {
		resp, err := tt.call()
		if got := status(t, resp, err); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
	j, _ = l.Job(id)
	if j.Label != "One!" || j.Priority != 9 || j.State != simulator.StateCanceling || j.PromisedFailure == nil || j.PromisedFailure.ExitStatus != 2 {
		t.Errorf("job = %+v", j)
	}
}

func claim(t *testing.T, token, name string) any {
	t.Helper()
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims[name]
}

func TestArtifacts(t *testing.T) {
	l := newLab(t, simulator.Config{ArtifactMaxBytes: 1 << 10})
	build, ids := l.build(`steps: [{command: a, key: maker, retry: {manual: true}}]`)
	_, c := l.start(ids[0])
	ctx, id := t.Context(), ids[0]
	batch := &api.ArtifactBatch{ID: "batch", Artifacts: []*api.Artifact{{Path: "dir/a.txt", FileSize: 3}, {Path: "b.log", FileSize: 3}}}
	made, resp, err := c.CreateArtifacts(ctx, id, batch)
	if got := status(t, resp, err); got != 201 || len(made.ArtifactIDs) != 2 {
		t.Fatalf("create = %d, %+v", got, made)
	}
	again, _, err := c.CreateArtifacts(ctx, id, batch)
	if err != nil || !cmp.Equal(made.ArtifactIDs, again.ArtifactIDs) {
		t.Errorf("the same batch again: %v, %v; want the same IDs", again, err)
	}
	_, resp, err = c.CreateArtifacts(ctx, id, &api.ArtifactBatch{ID: "big", Artifacts: []*api.Artifact{{Path: "x", FileSize: 1 << 11}}})
	if got := status(t, resp, err); got != 422 {
		t.Errorf("too large: %d, want 422", got)
	}

	form := func(path string) int {
		in := made.InstructionsTemplate
		var body bytes.Buffer
		const boundary = "xxBOUNDARYxx"
		for name, value := range in.Data {
			body.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + strings.ReplaceAll(value, "${artifact:path}", path) + "\r\n")
		}
		body.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nabc\r\n--" + boundary + "--\r\n")
		req, _ := http.NewRequest(in.Action.Method, in.Action.URL+in.Action.Path, &body)
		req.Header.Set("Content-Type", "multipart/form-data; boundary="+boundary)
		req.Close = true
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	if got := form("dir/a.txt"); got != 201 {
		t.Errorf("upload = %d, want 201", got)
	}
	if got := form("nobody"); got != 403 {
		t.Errorf("upload of what wasn't announced = %d, want 403", got)
	}
	search := func(query, scope string) []*api.Artifact {
		t.Helper()
		found, _, err := c.SearchArtifacts(ctx, build.ID, &api.ArtifactSearchOptions{Query: query, Scope: scope, State: "finished"})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if got := search("*", ""); len(got) != 0 {
		t.Errorf("found %v before the upload is finished", got)
	}
	resp, err = c.UpdateArtifacts(ctx, id, []api.ArtifactState{{ID: made.ArtifactIDs[0], State: "finished"}, {ID: made.ArtifactIDs[1], State: "error"}})
	if got := status(t, resp, err); got != 200 {
		t.Errorf("update = %d", got)
	}
	for _, tt := range []struct {
		query, scope string
		want         int
	}{{"*", "", 1}, {"*.txt", "", 1}, {"dir/*", "", 1}, {"dir/a.txt", "maker", 1}, {"*", "nobody", 0}, {"*.log", "", 0}, {"*.tx", "", 0}, {"ir/*", "", 0}} {
		if got := search(tt.query, tt.scope); len(got) != tt.want {
			t.Errorf("search %q in %q found %d, want %d", tt.query, tt.scope, len(got), tt.want)
		}
	}
	got, err := http.Get(search("*", "")[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := io.ReadAll(got.Body)
	_ = got.Body.Close()
	if string(data) != "abc" {
		t.Errorf("downloaded %q, want abc", data)
	}
	if stored, _ := l.ArtifactData(made.ArtifactIDs[0]); string(stored) != "abc" {
		t.Errorf("stored %q, want abc", stored)
	}
}
