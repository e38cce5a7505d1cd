package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/onejob-dev/onejob/contract"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// some is a leader's cluster with n jobs.
func some(n int) Cluster {
	c := Cluster{
		At: at, Version: "v1", Replica: "a", Leader: "a", Leads: true, Since: at.Add(-time.Hour), NotReady: []string{"queue x is stopped: why"},
		Queues: []Queue{
			{Name: "default", Namespace: "builds", State: Ready, Held: 3, Max: 100, Waiting: 4, OldestSeconds: 80, Pending: []Pending{{"created", "pending", 2, 300}}},
			{Name: "x", Namespace: "builds", State: Stopped, Why: "Buildkite refuses the token", Pending: []Pending{}},
		},
		Losses: []Loss{{At: at.Add(-time.Minute), Queue: "default", ID: contract.SampleJobID, Attempt: 1, Reason: "pod_lost", Action: "attempt", Text: "the pod was evicted"}},
	}
	for i := range n {
		c.Jobs = append(c.Jobs, &Job{
			ID: contract.JobID(fmt.Sprintf("018f0000-0000-7000-8000-%012d", i)), Queue: "default", Attempt: 1, Pipeline: "demo", Build: i, Branch: "main", Step: fmt.Sprint("step-", i%10),
			Phase: []string{"pending", "running"}[i%2], Reason: "node", Since: at.Add(-time.Minute), Node: "node-1", URL: "https://buildkite.com/acme/demo/builds/1",
		})
	}
	return c
}

func get(t *testing.T, c Cluster, path string) *httptest.ResponseRecorder {
	t.Helper()
	mux := http.NewServeMux()
	New(func() Cluster { return c }).Handle(mux)
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
	return rec
}

// parsed is a page's tree.
func parsed(t *testing.T, c Cluster, path string) *html.Node {
	t.Helper()
	rec := get(t, c, path)
	if rec.Code != http.StatusOK {
		t.Fatalf("%s answers %d", path, rec.Code)
	}
	n, err := html.Parse(rec.Body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func all(n *html.Node, tag string) (out []*html.Node) {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && d.Data == tag {
			out = append(out, d)
		}
	}
	return out
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// What a screen reader and a keyboard need: a language, a title, landmarks, one first
// heading and none left out, a name for each table and each field, headers that say what
// they are of, and a region that can be scrolled by keys.
func TestPageCanBeRead(t *testing.T) {
	for name, c := range map[string]Cluster{"leader": some(300), "empty": {Leads: true, At: at}, "standby": {At: at, Leader: "b", Queues: []Queue{{Name: "default", State: Standby}}}} {
		t.Run(name, func(t *testing.T) {
			n := parsed(t, c, "/")
			if attribute(all(n, "html")[0], "lang") != "en" || text(all(n, "title")[0]) == "" || len(all(n, "main")) != 1 || len(all(n, "header")) != 1 || len(all(n, "footer")) != 1 || len(all(n, "h1")) != 1 {
				t.Error("no language, title, landmark or heading")
			}
			ids := map[string]int{}
			for d := range n.Descendants() {
				if id := attribute(d, "id"); id != "" {
					ids[id]++
				}
				if d.Data == "h3" || attribute(d, "style") != "" || slices.ContainsFunc(d.Attr, func(a html.Attribute) bool { return strings.HasPrefix(a.Key, "on") }) {
					t.Errorf("there is a %s with %v", d.Data, d.Attr)
				}
			}
			for id, times := range ids {
				if times > 1 {
					t.Errorf("%d elements are called %s", times, id)
				}
			}
			for d := range n.Descendants() {
				if by := attribute(d, "aria-labelledby"); by != "" && ids[by] != 1 {
					t.Errorf("%s is named by %s, which isn't there", d.Data, by)
				}
				if to, is := strings.CutPrefix(attribute(d, "href"), "#"); is && ids[to] != 1 && name != "standby" {
					t.Errorf("a link leads to #%s, which isn't there", to)
				}
			}
			for _, table := range all(n, "table") {
				if p := table.Parent; attribute(p, "role") != "group" || attribute(p, "tabindex") != "0" || attribute(p, "aria-labelledby") == "" {
					t.Error("a table can't be scrolled by keys, or has no name")
				}
				for _, th := range all(table, "th") {
					if s := attribute(th, "scope"); s != "col" && s != "row" || text(th) == "" {
						t.Errorf("the header %q is of a %q", text(th), s)
					}
				}
				columns := len(all(all(table, "thead")[0], "th"))
				for _, row := range all(all(table, "tbody")[0], "tr") {
					cells := 0
					for c := range row.ChildNodes() {
						if c.Type == html.ElementNode {
							span := 1
							_, _ = fmt.Sscan(attribute(c, "colspan"), &span)
							cells += span
						}
					}
					if cells != columns {
						t.Errorf("a row has %d cells under %d headers: %s", cells, columns, text(row))
					}
				}
			}
			for _, tag := range []string{"input", "select"} {
				for _, field := range all(n, tag) {
					if field.Parent.Data != "label" {
						t.Errorf("a %s has no label", tag)
					}
				}
			}
			live := all(n, "p")[0]
			if attribute(live, "aria-live") != "polite" || attribute(live, "role") != "status" {
				t.Error("no sentence is read out when it changes")
			}
		})
	}
}

// What pipelines, branches and messages say is text, and the page runs and loads nothing
// but its own.
func TestForeignWordsAreText(t *testing.T) {
	c := some(1)
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(1)>{{.}}`
	c.Jobs[0].Branch, c.Jobs[0].Reason, c.Jobs[0].Pipeline, c.Jobs[0].Step, c.Jobs[0].Node = evil, evil, evil, evil, evil
	c.Jobs[0].URL = "javascript:alert(1)"
	c.Queues[0].Name, c.Queues[0].Why, c.NotReady, c.Losses[0].Text, c.Leader = evil, evil, []string{evil}, evil, evil
	rec := get(t, c, "/?q="+url.QueryEscape(evil[:40])+"&queue="+url.QueryEscape(evil))
	for _, path := range []string{"/", "/?q=" + url.QueryEscape(evil[:40]), "/?queue=" + url.QueryEscape(evil)} {
		n := parsed(t, c, path)
		if len(all(n, "img")) > 0 || len(all(n, "script")) != 1 {
			t.Errorf("%s: what was written became a part of the page", path)
		}
		for _, a := range all(n, "a") {
			if strings.HasPrefix(attribute(a, "href"), "javascript:") {
				t.Errorf("%s: a link leads to %s", path, attribute(a, "href"))
			}
		}
	}
	if csp := rec.Header().Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; ") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
}

// Each query finds its jobs, and a bad one the nearest that isn't.
func TestQueries(t *testing.T) {
	c := some(250)
	for query, want := range map[string]struct{ matching, shown, page int }{
		"": {250, 100, 1}, "page=3": {250, 50, 3}, "page=99": {250, 50, 3}, "page=-1": {250, 100, 1}, "page=x": {250, 100, 1}, "page=2&per=1000": {250, 250, 1}, "per=0": {250, 1, 1}, "per=1000000": {250, 250, 1},
		"phase=running": {125, 100, 1}, "phase=none": {250, 100, 1}, "queue=default": {250, 100, 1}, "queue=x": {0, 0, 1}, "q=STEP-3": {25, 25, 1}, "q=step-3+running": {25, 25, 1}, "q=step-3+pending": {0, 0, 1}, "q=%23249": {1, 1, 1}, "q=018f0000-0000-7000-8000-000000000007": {1, 1, 1},
		"q=" + strings.Repeat("a+", 10000): {250, 100, 1},
	} {
		rec := get(t, c, "/?format=json&"+query)
		var got struct {
			Jobs     []Job `json:"jobs"`
			All      int   `json:"jobs_all"`
			Matching int   `json:"jobs_matching"`
			Page     int   `json:"page"`
			Queues   []Queue
		}
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if len(query) > 1000 { // cut, to words that all jobs have
			continue
		}
		if got.Matching != want.matching || len(got.Jobs) != want.shown || got.Page != want.page || got.All != 250 || len(got.Queues) != 2 {
			t.Errorf("%s: %d match, %d are shown of page %d; want %+v", query, got.Matching, len(got.Jobs), got.Page, want)
		}
	}
}

// The page has the same jobs as the JSON, and links that lead to the others.
func TestPaging(t *testing.T) {
	c, path, seen := some(250), "/?queue=default", map[string]bool{}
	for pages := 1; path != ""; pages++ {
		n := parsed(t, c, path)
		path = ""
		for _, a := range all(n, "a") {
			if attribute(a, "rel") == "next" {
				query, to, _ := strings.Cut(attribute(a, "href"), "#") // a browser doesn't send the rest
				if path = "/" + query; to != "jobs" {
					t.Errorf("a page's link leads to #%s", to)
				}
			}
		}
		for _, th := range all(n, "th") {
			if strings.HasPrefix(text(th), "018f0000") && th.Parent.Parent.Data == "tbody" && attribute(th.Parent.Parent, "id") == "rows" {
				seen[text(th)] = true
			}
		}
		if pages > 3 {
			t.Fatal("there is no end")
		}
	}
	if len(seen) != 250 {
		t.Errorf("%d of 250 jobs were seen", len(seen))
	}
}

// However many ask, it is looked once a second, and too many at the same time are sent
// away.
func TestLooksAreShared(t *testing.T) {
	looks, wait := 0, make(chan struct{})
	p := New(func() Cluster { looks++; <-wait; return some(10) })
	mux := http.NewServeMux()
	p.Handle(mux)
	codes := make(chan int, 50)
	var wg sync.WaitGroup
	ask := func() {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
		codes <- rec.Code
	}
	for range mostAtOnce {
		wg.Go(ask)
	}
	for len(p.room) < mostAtOnce {
		time.Sleep(time.Millisecond)
	}
	ask()
	if code := <-codes; code != http.StatusServiceUnavailable {
		t.Errorf("one too many gets %d", code)
	}
	close(wait)
	wg.Wait()
	if looks != 1 {
		t.Errorf("it was looked %d times", looks)
	}
	for range mostAtOnce {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("the others get %d", code)
		}
	}
}

// Nothing but these is served, and nothing can be changed.
func TestOnlyReads(t *testing.T) {
	mux := http.NewServeMux()
	New(func() Cluster { return some(1) }).Handle(mux)
	for path, want := range map[string]int{"GET /": 200, "HEAD /": 200, "GET /status.css": 200, "GET /status.js": 200, "GET /x": 404, "POST /": 405, "DELETE /": 405} {
		method, path, _ := strings.Cut(path, " ")
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest(method, path, nil))
		if rec.Code != want {
			t.Errorf("%s %s answers %d, want %d", method, path, rec.Code, want)
		}
	}
}

func FuzzQuery(f *testing.F) {
	f.Add("q=a+b&page=2&queue=x&phase=running&per=5")
	f.Add("page=9223372036854775807&per=9223372036854775807")
	c := some(30)
	f.Fuzz(func(t *testing.T, raw string) {
		v, _ := url.ParseQuery(raw)
		q := parseQuery(v)
		got := q.of(c.Jobs)
		if len(got.jobs) > q.per || got.page < 1 || got.page > got.pages || got.matching > len(c.Jobs) || len(q.search) > maxSearch {
			t.Errorf("%q: %+v", raw, got)
		}
		back, err := url.ParseQuery(strings.TrimPrefix(q.link(q.page), "?"))
		if err != nil || parseQuery(back) != q {
			t.Errorf("%q: the link %q is another query", raw, q.link(q.page))
		}
	})
}

// slowWriter is a client that takes nothing until it may.
type slowWriter struct {
	http.ResponseWriter
	began chan<- bool
	may   <-chan struct{}
}

func (s slowWriter) Write(b []byte) (int, error) {
	s.began <- true
	<-s.may
	return s.ResponseWriter.Write(b)
}

// Clients that read slowly keep no room from the others.
func TestSlowReadersHoldNoRoom(t *testing.T) {
	mux := http.NewServeMux()
	New(func() Cluster { return some(10) }).Handle(mux)
	began, may := make(chan bool), make(chan struct{})
	var wg sync.WaitGroup
	for range mostAtOnce {
		wg.Go(func() {
			mux.ServeHTTP(slowWriter{httptest.NewRecorder(), began, may}, httptest.NewRequest(http.MethodGet, "/", nil))
		})
		<-began
	}
	rec := httptest.NewRecorder()
	mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/", nil))
	close(may)
	wg.Wait()
	if rec.Code != http.StatusOK {
		t.Errorf("one more gets %d", rec.Code)
	}
}

// What is asked for again within a second costs nothing; of what isn't there is only so
// much in a second, for a page that anybody in the cluster may ask for.
func TestAnswersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mux := http.NewServeMux()
		New(func() Cluster { return some(300) }).Handle(mux)
		ask := func(query string) *httptest.ResponseRecorder {
			rec := httptest.NewRecorder()
			mux.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/?"+query, nil))
			return rec
		}
		for range 200 {
			if code := ask("").Code; code != http.StatusOK {
				t.Fatalf("the same again gets %d", code)
			}
		}
		answered := 0
		for i := range 200 {
			if ask(fmt.Sprint("q=step-", i)).Code == http.StatusOK {
				answered++
			}
		}
		if answered == 0 || answered > 50 {
			t.Errorf("%d different queries of 200 were answered at once", answered)
		}
		if code := ask("").Code; code != http.StatusOK {
			t.Errorf("meanwhile the page gets %d", code)
		}
		time.Sleep(5 * time.Second)
		if n := strings.Count(ask("per=1000").Body.String(), `<th scope="row"`); n > 210 {
			t.Errorf("the page has %d rows", n)
		}
	})
}
