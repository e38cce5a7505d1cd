package simulator

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
)

// searchArtifacts finds finished artifacts, or those in the state that the query names. It
// returns the newest of each path, unless include_duplicates is true, and skips jobs that
// were retried, unless include_retried_jobs is true.
func (s *Simulator) searchArtifacts(c *call) reply {
	b, rep := s.buildOf(c)
	if rep != nil {
		return *rep
	}
	q := c.r.URL.Query()
	query, scope, state := q.Get("query"), q.Get("scope"), cmp.Or(q.Get("state"), "finished")
	retried, duplicates := q.Get("include_retried_jobs") == "true", q.Get("include_duplicates") == "true"
	found := []Artifact{}
	byPath := map[string]int{}
	for _, a := range b.artifacts {
		if a.State != state || !retried && a.job.retriedBy != nil {
			continue
		}
		if scope != "" && scope != a.job.id && scope != a.job.node.key && scope != a.job.label() && scope != a.job.node.id {
			continue
		}
		if !globMatch(query, a.Path) {
			continue
		}
		out := a.Artifact
		if out.URL == "" {
			out.URL = fmt.Sprintf("%s/_sim/artifacts/%s", base(c.r), a.ID)
		}
		if i, seen := byPath[a.Path]; seen && !duplicates {
			found[i] = out
			continue
		}
		byPath[a.Path] = len(found)
		found = append(found, out)
	}
	return ok(found)
}

// globMatch lets "*" reach over slashes, as Buildkite's search does.
func globMatch(pattern, name string) bool {
	if pattern == "" || pattern == "*" || pattern == "**" || pattern == "**/*" {
		return true
	}
	if matched, err := path.Match(pattern, name); err == nil && matched {
		return true
	}
	// A star matches any run of characters: cut the pattern at its stars.
	pieces := strings.FieldsFunc(pattern, func(r rune) bool { return r == '*' })
	rest := name
	for i, piece := range pieces {
		at := strings.Index(rest, piece)
		if at < 0 || i == 0 && at > 0 && !strings.HasPrefix(pattern, "*") {
			return false
		}
		rest = rest[at+len(piece):]
	}
	return strings.Contains(pattern, "*") && (rest == "" || strings.HasSuffix(pattern, "*"))
}

func (s *Simulator) downloadArtifact(c *call) reply {
	a := s.artifacts[c.params["artifact"]]
	if a == nil || a.State != "finished" {
		return *failure(http.StatusNotFound, "Artifact not found")
	}
	raw := a.data
	if raw == nil {
		raw = []byte{}
	}
	return reply{status: http.StatusOK, raw: raw, contentType: cmp.Or(a.ContentType, "application/octet-stream")}
}

// Artifacts returns what the jobs of a build uploaded, in order of creation.
func (s *Simulator) Artifacts(buildNumber int) []Artifact {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.build(buildNumber)
	if b == nil {
		return nil
	}
	out := make([]Artifact, len(b.artifacts))
	for i, a := range b.artifacts {
		out[i] = a.Artifact
	}
	return out
}

// ArtifactData returns the bytes of an artifact.
func (s *Simulator) ArtifactData(id string) ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.artifacts[id]
	if a == nil {
		return nil, false
	}
	if a.parts != nil {
		var whole []byte
		for _, n := range slices.Sorted(maps.Keys(a.parts)) {
			whole = append(whole, a.parts[n]...)
		}
		return whole, true
	}
	return slices.Clone(a.data), true
}
