package simulator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// secret serves GET jobs/:id/secrets?key=.
func (s *Simulator) secret(c *call) reply {
	key := c.r.URL.Query().Get("key")
	value, has := s.conf.Secrets[key]
	if !has {
		return *failure(http.StatusNotFound, "Secret not found")
	}
	return ok(map[string]any{"key": key, "value": value, "uuid": s.newID()})
}

// oidcToken returns an unsigned token with the claims of a real one. Its "alg" is none, so
// that no verifier accepts it.
func (s *Simulator) oidcToken(c *call) reply {
	var req struct {
		Audience     string   `json:"audience"`
		Lifetime     int      `json:"lifetime"`
		Claims       []string `json:"claims"`
		SubjectClaim string   `json:"subject_claim"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if req.Lifetime < 0 || req.Lifetime > maxOIDCLifetime {
		return *failure(http.StatusUnprocessableEntity, fmt.Sprintf("lifetime must be between 0 and %d seconds", maxOIDCLifetime))
	}
	j, b := c.job, c.job.build
	org := s.conf.Organization
	claims := map[string]any{
		"iss": "https://agent.buildkite.example",
		"sub": fmt.Sprintf("organization:%s:pipeline:%s:ref:refs/heads/%s:commit:%s:step:%s", org, b.request.Slug, b.request.Branch, b.request.Commit, j.node.key),
		"aud": cmp.Or(req.Audience, "https://buildkite.example/"+org),
		"iat": c.now.Unix(), "nbf": c.now.Unix(),
		"exp":               c.now.Add(time.Duration(cmp.Or(req.Lifetime, 300)) * time.Second).Unix(),
		"organization_slug": org, "pipeline_slug": b.request.Slug, "build_number": b.number,
		"build_branch": b.request.Branch, "build_commit": b.request.Commit,
		"step_key": j.node.key, "job_id": j.id, "agent_id": c.agentID(),
	}
	return ok(map[string]any{"token": unsignedJWT(claims)})
}

func unsignedJWT(claims map[string]any) string {
	encode := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			panic(fmt.Sprintf("simulator: encoding claims: %v", err))
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return encode(map[string]any{"alg": "none", "typ": "JWT"}) + "." + encode(claims) + "."
}

func (s *Simulator) repositoryToken(c *call) reply {
	var req struct {
		RepoURL string `json:"repo_url"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if req.RepoURL != c.job.build.request.Repo {
		return *failure(http.StatusNotFound, "No repository provider is set up for "+req.RepoURL)
	}
	return ok(map[string]any{"token": s.newToken("sim-repository-")})
}
