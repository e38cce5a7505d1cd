package status

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"net/http"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"
)

var (
	//go:embed status.css
	style []byte
	//go:embed status.js
	script []byte
	//go:embed page.html
	pageText string
	page     = template.Must(template.New("page").Funcs(template.FuncMap{"age": age, "add": func(a, b int) int { return a + b }, "seconds": ofSeconds}).Parse(pageText))
)

const (
	// freshFor is how long one look serves all who ask.
	freshFor = time.Second
	// mostAtOnce is how many are answered at a time; a further one gets 503.
	mostAtOnce = 4
)

// policy lets the page have nothing but its own style and script, and be in no frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Page serves what look returns. It looks when somebody asks, and at most once in freshFor.
type Page struct {
	look func() Cluster
	room chan struct{}

	mu   sync.Mutex
	last Cluster
	at   time.Time
}

// New returns a Page.
func New(look func() Cluster) *Page {
	return &Page{look: look, room: make(chan struct{}, mostAtOnce)}
}

// Handle adds the page to a server.
func (p *Page) Handle(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", p.serve)
	mux.HandleFunc("GET /status.css", func(w http.ResponseWriter, _ *http.Request) { send(w, "text/css; charset=utf-8", style) })
	mux.HandleFunc("GET /status.js", func(w http.ResponseWriter, _ *http.Request) { send(w, "text/javascript; charset=utf-8", script) })
}

// answer is what a query gets.
type answer struct {
	Cluster
	Jobs     []*Job `json:"jobs"`
	All      int    `json:"jobs_all"`
	Matching int    `json:"jobs_matching"`
	Number   int    `json:"page"`
	Pages    int    `json:"pages"`
	query    query
}

func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	select {
	case p.room <- struct{}{}:
		defer func() { <-p.room }()
	default:
		http.Error(w, "too many ask at the same time", http.StatusServiceUnavailable)
		return
	}
	v := r.URL.Query()
	q := parseQuery(v)
	c := p.fresh()
	f := q.of(c.Jobs)
	a := answer{Cluster: c, Jobs: f.jobs, All: len(c.Jobs), Matching: f.matching, Number: f.page, Pages: f.pages, query: q}
	var b bytes.Buffer
	kind, err := "text/html; charset=utf-8", error(nil)
	if v.Get("format") == "json" {
		kind = "application/json"
		err = json.NewEncoder(&b).Encode(a)
	} else {
		err = page.Execute(&b, view{a})
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	send(w, kind, b.Bytes())
}

func send(w http.ResponseWriter, kind string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b)
}

// fresh is the last look, or a new one.
func (p *Page) fresh() Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() || time.Since(p.at) >= freshFor {
		p.last = p.look()
		p.at = time.Now()
	}
	return p.last
}

// view is an answer as the page shows it.
type view struct{ answer }

// Query's parts, for the search's fields.
func (v view) Search() string { return v.query.search }
func (v view) Queue() string  { return v.query.queue }
func (v view) Phase() string  { return v.query.phase }

// Filtered: not all jobs are asked for.
func (v view) Filtered() bool { return v.query.search+v.query.queue+v.query.phase != "" }

// Phases are all that a job may have.
func (v view) Phases() []string { return Phases }

// Link leads to another page of the same jobs.
func (v view) Link(page int) string { return v.query.link(page) }

// Of leads to the jobs of a queue.
func (v view) Of(queue string) string { return query{queue: queue, per: usualPer}.link(1) }

// First is the number of the first job that is shown, and Last that of the last one.
func (v view) First() int { return min(v.Matching, (v.Number-1)*v.query.per+1) }
func (v view) Last() int  { return (v.Number-1)*v.query.per + len(v.Jobs) }

// Summary is one sentence, which is read out when it changes.
func (v view) Summary() string { return summary(v.Cluster) }

func age(at, now time.Time) string {
	if at.IsZero() {
		return "–"
	}
	return duration.HumanDuration(max(0, now.Sub(at)))
}

func ofSeconds(s float64) string {
	if s == 0 {
		return "–"
	}
	return duration.HumanDuration(time.Duration(s * float64(time.Second)))
}
