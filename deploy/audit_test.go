package deploy

import (
	"net/http"
	"strings"
	"sync"
)

// right is a verb of a Role's rule.
type right struct{ resource, verb string }

func (r right) String() string { return r.verb + " " + r.resource }

// audit counts an account's requests, and those that were answered 403, by the
// right that each needs.
type audit struct {
	next http.RoundTripper

	mu            sync.Mutex
	asked, denied map[right]int
}

func newAudit() *audit { return &audit{asked: map[right]int{}, denied: map[right]int{}} }

func (a *audit) wrap(next http.RoundTripper) http.RoundTripper {
	a.next = next
	return a
}

func (a *audit) RoundTrip(r *http.Request) (*http.Response, error) {
	need := rightFor(r)
	resp, err := a.next.RoundTrip(r)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked[need]++
	if err == nil && resp.StatusCode == http.StatusForbidden {
		a.denied[need]++
	}
	return resp, err
}

func (a *audit) requests(r right) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[r]
}

func (a *audit) refused(r right) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.denied[r]
}

// refusals are all rights that were asked for in vain.
func (a *audit) refusals() (out []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for r := range a.denied {
		out = append(out, r.String())
	}
	return out
}

// rightFor is the API server's own mapping of a request to a verb, as far as
// namespaced resources go.
func rightFor(r *http.Request) right {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	group := ""
	if parts[0] == "apis" && len(parts) > 1 {
		group, parts = "."+parts[1], parts[1:]
	}
	if len(parts) < 5 || parts[2] != "namespaces" {
		return right{r.URL.Path, strings.ToLower(r.Method)}
	}
	name := len(parts) > 5
	verb := map[string]string{http.MethodPost: "create", http.MethodPut: "update", http.MethodPatch: "patch", http.MethodDelete: "delete"}[r.Method]
	switch q := r.URL.Query().Get("watch"); {
	case verb != "":
	case name:
		verb = "get"
	case q == "true" || q == "1":
		verb = "watch"
	default:
		verb = "list"
	}
	return right{parts[4] + group, verb}
}
