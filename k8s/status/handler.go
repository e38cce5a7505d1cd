package status

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/util/duration"
)

var (
	//go:embed status.css
	style []byte
	//go:embed status.js
	script []byte
	//go:embed page.html
	pageText string
	page     = template.Must(template.New("page").Funcs(template.FuncMap{"age": age, "add": func(a, b int) int { return a + b }, "percent": percent, "seconds": ofSeconds}).Parse(pageText))
)

const (
	// freshFor is how long one look serves all who ask.
	freshFor = time.Second
	// mostAtOnce is how many are answered at a time; a further one gets 503.
	mostAtOnce = 4
	// mostAnswers are kept of a look; a further query is answered anew each time.
	mostAnswers = 8
	// perSecond is how many answers are made in a second, and twice as many at once. A
	// search through thousands of jobs takes some 30 ms.
	perSecond = 4
	// mostRows is how many jobs a page in HTML has, which costs more than JSON.
	mostRows = 200
)

var errBusy = errors.New("too many ask at the same time")

// policy lets the page have nothing but its own style and script, and be in no frame.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Page serves what look returns. It looks when somebody asks, and at most once in freshFor,
// and makes one answer at a time.
type Page struct {
	look func() Cluster
	room chan struct{}
	pace *rate.Limiter

	mu      sync.Mutex
	last    Cluster
	at      time.Time
	answers map[asked][]byte // to the last look
}

// New returns a Page.
func New(look func() Cluster) *Page {
	return &Page{look: look, room: make(chan struct{}, mostAtOnce), pace: rate.NewLimiter(perSecond, 2*perSecond)}
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
	Phased   []Phased `json:"jobs_by_phase"`
	Jobs     []*Job   `json:"jobs"`
	All      int      `json:"jobs_all"`
	Matching int      `json:"jobs_matching"`
	Number   int      `json:"page"`
	Pages    int      `json:"pages"`
	query    query
}

func (p *Page) serve(w http.ResponseWriter, r *http.Request) {
	b, kind, err := p.answer(r.URL.Query())
	switch {
	case errors.Is(err, errBusy):
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		send(w, kind, b)
	}
}

// answer has room only until the answer is made: a client may take its time to read it.
func (p *Page) answer(v url.Values) (b []byte, kind string, err error) {
	select {
	case p.room <- struct{}{}:
		defer func() { <-p.room }()
	default:
		return nil, "", errBusy
	}
	a := asked{parseQuery(v), v.Get("format") == "json"}
	if kind = "application/json"; !a.json {
		kind, a.per = "text/html; charset=utf-8", min(a.per, mostRows)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.fresh()
	if b = p.answers[a]; b != nil {
		return b, kind, nil
	}
	if !p.pace.Allow() {
		return nil, "", errBusy
	}
	if b, err = a.of(c); err == nil && len(p.answers) < mostAnswers {
		p.answers[a] = b
	}
	return b, kind, err
}

// asked is a query, and how it is to be answered.
type asked struct {
	query
	json bool
}

func (a asked) of(c Cluster) ([]byte, error) {
	f := a.query.of(c.Jobs)
	all := answer{Cluster: c, Phased: byPhase(c), Jobs: f.jobs, All: len(c.Jobs), Matching: f.matching, Number: f.page, Pages: f.pages, query: a.query}
	var b bytes.Buffer
	if a.json {
		err := json.NewEncoder(&b).Encode(all)
		return b.Bytes(), err
	}
	err := page.Execute(&b, view{all})
	return b.Bytes(), err
}

func send(w http.ResponseWriter, kind string, b []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b) //nolint:gosec // html/template has escaped it, or it is JSON and says so
}

// fresh is the last look, or a new one. Callers hold p.mu.
func (p *Page) fresh() Cluster {
	if p.at.IsZero() || time.Since(p.at) >= freshFor {
		p.last, p.answers = p.look(), map[asked][]byte{}
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

// In leads to the jobs of a phase.
func (v view) In(phase string) string { return query{phase: phase, per: usualPer}.link(1) }

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

// percent is how much of all is held, for a bar.
func percent(held, all int) int { return min(100, 100*held/max(1, all)) }

func ofSeconds(s float64) string {
	if s == 0 {
		return "–"
	}
	return duration.HumanDuration(time.Duration(s * float64(time.Second)))
}
