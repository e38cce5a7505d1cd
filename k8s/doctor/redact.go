package doctor

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
)

// redactor takes secrets out of what leaves the installation. Values of environment
// variables, arguments and commands go altogether: nobody knows which of them is one.
// What it has taken out in one place it takes out wherever it stands again, unless
// support would understand nothing without it.
type redactor struct {
	mu     sync.Mutex
	values map[string]bool // true: a secret, whatever it looks like
	plain  map[string]bool // the configuration's words, and images
}

// leastSecret is the shortest text that is looked for everywhere: shorter ones ("true",
// "8080") are in every log.
const leastSecret = 6

func newRedactor(secrets ...string) *redactor {
	r := &redactor{values: map[string]bool{}, plain: map[string]bool{}}
	for _, s := range secrets {
		r.learn(s, true)
	}
	return r
}

func (r *redactor) learn(secret string, sure bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range append(strings.Split(secret, "\n"), secret) {
		if s = strings.TrimSpace(s); len(s) >= leastSecret {
			r.values[s] = r.values[s] || sure
		}
	}
}

// leftOut stands for a value that may be a secret.
func (r *redactor) leftOut(value string) string {
	r.learn(value, false)
	return inPlace(value)
}

func inPlace(value string) string { return fmt.Sprintf("left out (%d bytes)", len(value)) }

// says remembers the texts of a document without secrets: they are none.
func (r *redactor) says(document any) {
	switch v := document.(type) {
	case map[string]any:
		for k, inner := range v {
			if !secretKey.MatchString(k) {
				r.says(inner)
			}
		}
	case []any:
		for _, inner := range v {
			r.says(inner)
		}
	case string:
		r.plain[v] = true
	}
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
		name, named := v["name"].(string)
		for k, inner := range v {
			text, isText := inner.(string)
			switch {
			case named && k == "value" && isText && isOurs(name):
				v[k] = inPlace(text)
			case named && k == "value" && isText, k == "message" && key == "terminated" && isText && !isMessage(text):
				v[k] = r.leftOut(text)
			case k == "annotations":
				v[k] = onejobs(inner)
			case k == "managedFields":
				delete(v, k)
			default:
				if k == "image" && isText {
					r.plain[text] = true
				}
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

// isOurs: a variable that onejob or its default template sets, to what stands in many
// places: the job's ID, the endpoint, the tags, folders.
func isOurs(name string) bool {
	return strings.HasPrefix(name, "ONEJOB_") || slices.Contains([]string{
		contract.EnvJobID, contract.EnvEndpoint, contract.EnvTags, contract.EnvQueue, "BUILDKITE_BUILD_PATH", "HOME", "NSS_UNKNOWN_HOME",
		"BUILDKITE_TRACING_BACKEND", "BUILDKITE_TRACING_PROPAGATE_TRACEPARENT", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL",
	}, name)
}

var uuid = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// telling: a value that may be no secret, and without which nothing can be understood.
func (r *redactor) telling(value string) bool {
	ours := slices.Contains([]string{"onejob", "onejob-agent", contract.StepProgram}, path.Base(value))
	return ours || r.plain[value] || uuid.MatchString(value)
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

// secretKey is the name of what is a secret by its name.
var secretKey = regexp.MustCompile(`(?i)(password|passwd|secret|token|api[_-]?key)$`)

// clean takes the secrets out of each text of a document that object returned: of its
// text as a whole, it would be no JSON any more.
func (r *redactor) clean(document any) any {
	known := r.known()
	var clean func(key string, v any) any
	clean = func(key string, v any) any {
		switch v := v.(type) {
		case map[string]any:
			cleaned := make(map[string]any, len(v))
			for k, inner := range v {
				cleaned[without(k, known)] = clean(k, inner)
			}
			return cleaned
		case []any:
			for i, inner := range v {
				v[i] = clean(key, inner)
			}
		case string:
			if secretKey.MatchString(key) && v != "" {
				return "left-out"
			}
			return without(v, known)
		}
		return v
	}
	return clean("", document)
}

// text takes the secrets out of any text: those that are known, and those that look so.
func (r *redactor) text(s string) string { return without(s, r.known()) }

func without(s string, known *strings.Replacer) string {
	s = decide.WithoutOutput(known.Replace(s), "left-out")
	for _, p := range secretive {
		s = p.pattern.ReplaceAllString(s, p.keep)
	}
	return s
}

// known are the secrets that were learned, the longest first.
func (r *redactor) known() *strings.Replacer {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make([]string, 0, 2*len(r.values))
	for v, sure := range r.values {
		if !sure && r.telling(v) {
			continue
		}
		known = append(known, v)
		if quoted, err := json.Marshal(v); err == nil && string(quoted) != `"`+v+`"` {
			known = append(known, strings.Trim(string(quoted), `"`))
		}
	}
	slices.SortFunc(known, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(known))
	for _, v := range known {
		pairs = append(pairs, v, "left-out")
	}
	return strings.NewReplacer(pairs...)
}
