package simulator

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// controlCreate creates a build. The body is a pipeline.yml, with slug, repo, branch, commit,
// message and queue in the query. Or it is JSON with these fields and env, and the pipeline
// as a string or an object.
func (s *Simulator) controlCreate(r *http.Request) (int, any) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 64<<20))
	if err != nil {
		return http.StatusBadRequest, message(err.Error())
	}
	q := r.URL.Query()
	// With ?interpolate the pipeline is interpolated, as an upload does.
	req := BuildRequest{Pipeline: body, Slug: q.Get("slug"), Repo: q.Get("repo"), Branch: q.Get("branch"),
		Commit: q.Get("commit"), Message: q.Get("message"), Queue: q.Get("queue")}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		var in struct {
			Pipeline                                   json.RawMessage
			Slug, Repo, Branch, Commit, Message, Queue string
			Env                                        map[string]string
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return http.StatusBadRequest, message(err.Error())
		}
		req = BuildRequest{Pipeline: in.Pipeline, Slug: in.Slug, Repo: in.Repo, Branch: in.Branch,
			Commit: in.Commit, Message: in.Message, Queue: in.Queue, Env: in.Env}
		var text string
		if json.Unmarshal(in.Pipeline, &text) == nil {
			req.Pipeline = []byte(text)
		}
	}
	if q.Has("interpolate") {
		req.Interpolate = map[string]string{}
	}
	b, err := s.CreateBuild(req.or(s.conf.Build))
	if err != nil {
		return http.StatusUnprocessableEntity, message(err.Error())
	}
	return http.StatusCreated, b
}

// or has another request's answers where this one says nothing.
func (r BuildRequest) or(other BuildRequest) BuildRequest {
	r.Slug, r.Repo, r.Branch = cmp.Or(r.Slug, other.Slug), cmp.Or(r.Repo, other.Repo), cmp.Or(r.Branch, other.Branch)
	r.Commit, r.Queue = cmp.Or(r.Commit, other.Commit), cmp.Or(r.Queue, other.Queue)
	env := maps.Clone(other.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, r.Env)
	r.Env = env
	return r
}

func (s *Simulator) controlFault(r *http.Request) (int, any) {
	var f Fault
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(&f); err != nil {
		return http.StatusBadRequest, message(err.Error())
	}
	id, err := s.addFault(f)
	if err != nil {
		return http.StatusUnprocessableEntity, message(err.Error())
	}
	return http.StatusCreated, map[string]any{"id": id}
}

func (s *Simulator) controlToken(r *http.Request) (int, any) {
	var in struct{ Token string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&in); err != nil || in.Token == "" {
		return http.StatusBadRequest, message("want a token")
	}
	return outcome(s.RotateAgentToken(in.Token))
}

func (s *Simulator) countsByName() map[string]map[string]int {
	out := map[string]map[string]int{}
	for key, n := range s.Counts() {
		if out[key.Endpoint] == nil {
			out[key.Endpoint] = map[string]int{}
		}
		out[key.Endpoint][strconv.Itoa(key.Status)] = n
	}
	return out
}
