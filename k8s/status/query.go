package status

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/onejob-dev/onejob/contract"
)

// The bounds of a query. What is out of them is taken for the nearest that isn't, and
// what isn't known for nothing.
const (
	maxSearch = 200 // bytes
	maxWords  = 8
	usualPer  = 100
	mostPer   = 1000
)

// query is which jobs somebody wants to see.
type query struct {
	search, queue, phase string
	page, per            int
}

func parseQuery(v url.Values) query {
	q := query{search: contract.Line(v.Get("q"), maxSearch), queue: contract.Line(v.Get("queue"), maxSearch), page: 1, per: usualPer}
	if p := v.Get("phase"); slices.Contains(Phases, p) {
		q.phase = p
	}
	if n, err := strconv.Atoi(v.Get("page")); err == nil {
		q.page = max(1, n)
	}
	if n, err := strconv.Atoi(v.Get("per")); err == nil {
		q.per = min(max(1, n), mostPer)
	}
	return q
}

// link is the query of another page of the same jobs.
func (q query) link(page int) string {
	v := url.Values{}
	for name, value := range map[string]string{"q": q.search, "queue": q.queue, "phase": q.phase} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if page > 1 {
		v.Set("page", strconv.Itoa(page))
	}
	if q.per != usualPer {
		v.Set("per", strconv.Itoa(q.per))
	}
	return "?" + v.Encode()
}

// found are the jobs that a query is about: those of its page, and how many there are.
type found struct {
	jobs                  []*Job
	matching, page, pages int
}

// of goes through all jobs. Each word of the search is to be in one of a job's texts.
func (q query) of(jobs []*Job) found {
	words := strings.Fields(strings.ToLower(q.search))
	words = words[:min(len(words), maxWords)]
	f := found{jobs: []*Job{}, page: q.page}
	matching := jobs
	if len(words) > 0 || q.queue != "" || q.phase != "" {
		matching = make([]*Job, 0, min(len(jobs), mostPer))
		for _, j := range jobs {
			if q.matches(j, words) {
				matching = append(matching, j)
			}
		}
	}
	f.matching = len(matching)
	f.pages = max(1, (f.matching+q.per-1)/q.per)
	f.page = min(f.page, f.pages)
	from := (f.page - 1) * q.per
	f.jobs = append(f.jobs, matching[from:min(from+q.per, f.matching)]...)
	return f
}

func (q query) matches(j *Job, words []string) bool {
	if q.queue != "" && j.Queue != q.queue || q.phase != "" && j.Phase != q.phase {
		return false
	}
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join([]string{j.ID.String(), j.Queue, j.Pipeline, "#" + strconv.Itoa(j.Build), j.Branch, j.Step, j.Phase, j.Reason, j.Node}, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
