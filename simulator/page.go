package simulator

import (
	_ "embed"
	"fmt"
	"net/http"
	"time"
)

//go:embed page.html
var page []byte

// shownJobs is the largest number of jobs on the page.
const shownJobs = 500

// servePage serves the page, and with ?data its data. The version is the
// ETag, so a page that looks every second costs nothing while nothing happens.
func (s *Simulator) servePage(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		_ = writeJSON(w, http.StatusMethodNotAllowed, message("method not allowed"))
		return
	}
	if !r.URL.Query().Has("data") {
		_ = writeReply(w, http.StatusOK, map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'",
			"X-Content-Type-Options":  "nosniff",
		}, "text/html; charset=utf-8", page)
		return
	}
	s.mu.Lock()
	tag := fmt.Sprintf(`"%d"`, s.version)
	s.mu.Unlock()
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "no-cache")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_ = writeJSON(w, http.StatusOK, s.overview(shownJobs))
}

// row is a build on the page.
type row struct {
	Number   int         `json:"number"`
	Slug     string      `json:"slug"`
	State    string      `json:"state"`
	Message  string      `json:"message"`
	Created  time.Time   `json:"created_at"`
	Warnings []string    `json:"warnings,omitempty"`
	Steps    []Step      `json:"steps,omitempty"` // block, input and trigger
	Graph    []graphStep `json:"graph,omitempty"`
}

// overview is what the page shows: the latest builds and jobs, at most limit
// jobs when that isn't 0.
func (s *Simulator) overview(limit int) map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	jobs := s.jobOrder
	if limit > 0 && len(jobs) > limit {
		jobs = jobs[len(jobs)-limit:]
	}
	shown := make([]Job, len(jobs))
	for i, j := range jobs {
		shown[i] = j.snapshot()
	}
	builds := []row{}
	for _, b := range s.builds[max(0, len(s.builds)-50):] {
		builds = append(builds, row{b.number, b.request.Slug, b.state(), b.request.Message, b.createdAt, b.warnings, b.manual(), b.graph()})
	}
	counts := map[JobState]int{}
	for _, q := range s.queues {
		for state, n := range q.counts {
			if n > 0 {
				counts[state] += n
			}
		}
	}
	agents := map[string]int{}
	for _, a := range s.agents {
		agents[a.state]++
	}
	return map[string]any{
		"version": s.version, "builds": builds, "jobs": shown, "job_counts": counts, "jobs_total": len(s.jobOrder),
		"agents": agents, "violations": len(s.ledger.violations), "repeats": s.ledger.repeats,
		"requests": s.requests.seq, "closed": s.isShut,
	}
}
