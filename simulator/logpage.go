package simulator

import (
	"bytes"
	_ "embed"
	"net/http"
	"regexp"

	"github.com/buildkite/terminal-to-html/v3"
)

//go:embed log.css
var logStyle string

// document is a page of its own, which runs and loads nothing.
type document []byte

const documentPolicy = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'"

// shownLog is the most of a log that is made into a page: its end.
const shownLog = 1 << 20

// grouped is a line that begins a group of the log, after its time. ~~~ is a quiet one.
var (
	grouped = regexp.MustCompile(`(?m)^(<time[^>]*>[^<]*</time>)?((?:---|\+\+\+) .*)$`)
	quiet   = regexp.MustCompile(`(?m)^(<time[^>]*>[^<]*</time>)?(~~~ .*)$`)
)

// controlLogPage is a job's log as Buildkite shows it, with its colours.
func controlLogPage(s *Simulator, _ *http.Request, id string) (int, any) {
	log, found := s.Log(id)
	if !found {
		return http.StatusNotFound, message("no such job")
	}
	var page bytes.Buffer
	page.WriteString("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>Log</title><style>" + logStyle + "</style><main><h1>Log</h1><pre class=\"term-container\">")
	if over := len(log) - shownLog; over > 0 {
		log = log[over:]
		page.WriteString("… the beginning is left out\n")
	}
	shown := grouped.ReplaceAllString(terminal.Render(log), `$1<span class="group">$2</span>`)
	page.WriteString(quiet.ReplaceAllString(shown, `$1<span class="group quiet">$2</span>`))
	page.WriteString("</pre></main><div id=\"end\"></div></html>")
	return http.StatusOK, document(page.Bytes())
}
