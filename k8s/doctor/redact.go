package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// redactor takes secrets out of what leaves the installation. Values of environment
// variables, arguments and commands go altogether: nobody knows which of them is one.
// What it has taken out in one place it takes out wherever it stands again.
type redactor struct {
	mu     sync.Mutex
	values map[string]bool
}

// leastSecret is the shortest text that is looked for everywhere: shorter ones ("true",
// "8080") are in every log.
const leastSecret = 6

func newRedactor(secrets ...string) *redactor {
	r := &redactor{values: map[string]bool{}}
	for _, s := range secrets {
		r.learn(s)
	}
	return r
}

func (r *redactor) learn(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range append(strings.Split(secret, "\n"), secret) {
		if s = strings.TrimSpace(s); len(s) >= leastSecret {
			r.values[s] = true
		}
	}
}

func (r *redactor) leftOut(secret string) string {
	r.learn(secret)
	return fmt.Sprintf("left out (%d bytes)", len(secret))
}

// object takes the secrets out of a JSON document.
func (r *redactor) object(document any) any {
	b, err := json.Marshal(document)
	if err != nil {
		return err.Error()
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err.Error()
	}
	return r.walk("", v)
}

func (r *redactor) walk(key string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		_, named := v["name"]
		for k, inner := range v {
			text, isText := inner.(string)
			switch {
			case named && k == "value" && isText, k == "message" && key == "terminated" && isText && !isMessage(text):
				v[k] = r.leftOut(text)
			case k == "annotations":
				v[k] = onejobs(inner)
			case k == "managedFields":
				delete(v, k)
			default:
				v[k] = r.walk(k, inner)
			}
		}
		return v
	case []any:
		for i, inner := range v {
			if text, ok := inner.(string); ok && (key == "args" || key == "command") {
				v[i] = r.leftOut(text)
				continue
			}
			v[i] = r.walk(key, inner)
		}
		return v
	}
	return v
}

// isMessage: a termination message of the runner, which has no secret. Others can be the
// end of a job's output.
func isMessage(text string) bool { return strings.HasPrefix(text, `{"contract":`) }

// onejobs are the annotations that onejob itself wrote.
func onejobs(annotations any) any {
	of, ok := annotations.(map[string]any)
	if !ok {
		return nil
	}
	for k := range of {
		if !strings.HasPrefix(k, "onejob.dev/") {
			delete(of, k)
		}
	}
	return of
}

// secretive are texts that are secrets by their look, each with what is kept of it.
var secretive = []struct {
	pattern *regexp.Regexp
	keep    string
}{
	{regexp.MustCompile(`(?i)\b(bk[a-z]{1,3}_)[A-Za-z0-9_-]{8,}`), "${1}left-out"},                                    // Buildkite's
	{regexp.MustCompile(`\b(gh[a-z]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA)[A-Za-z0-9_-]{8,}`), "${1}left-out"},      // GitHub's, GitLab's, Slack's, AWS's
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(\.[A-Za-z0-9_-]*)?`), "left-out"},                  // a JWT
	{regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`), "left-out"}, // a key
	{regexp.MustCompile(`(?i)\b(authorization"?[:=]\s*"?(?:bearer|token|basic)?\s*)[^\s",]{4,}`), "${1}left-out"},
	{regexp.MustCompile(`(://[^/\s:@"]*:)[^/\s@"]+@`), "${1}left-out@"},
	{regexp.MustCompile(`(?i)\b([a-z_-]*(?:password|passwd|secret|token|api[_-]?key)"?[=:]\s*"?)[^\s",/]{4,}`), "${1}left-out"},
}

// text takes the secrets out of any text: those that are known, and those that look so.
func (r *redactor) text(s string) string {
	r.mu.Lock()
	known := make([]string, 0, 2*len(r.values))
	for v := range r.values {
		known = append(known, v)
		if quoted, err := json.Marshal(v); err == nil && string(quoted) != `"`+v+`"` {
			known = append(known, strings.Trim(string(quoted), `"`))
		}
	}
	r.mu.Unlock()
	slices.SortFunc(known, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(known))
	for _, v := range known {
		pairs = append(pairs, v, "left-out")
	}
	s = strings.NewReplacer(pairs...).Replace(s)
	for _, p := range secretive {
		s = p.pattern.ReplaceAllString(s, p.keep)
	}
	return s
}
