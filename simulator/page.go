package simulator

import (
	_ "embed"
	"fmt"
	"net/http"
)

//go:embed page.html
var page []byte

// shownJobs bounds the page: a browser needs no ten thousand rows.
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
			"Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'",
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
