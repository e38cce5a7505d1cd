package simulator

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveControl serves the page and /_sim, by which scripts and other
// processes do what Go code does by method calls. It needs no token: a
// simulator holds nothing worth one.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request, segments []string) bool {
	if len(segments) == 0 {
		s.servePage(w, r)
		return true
	}
	if segments[0] != "_sim" {
		return false
	}
	status, body := s.control(r, segments[1:])
	if raw, isRaw := body.([]byte); isRaw {
		_ = writeReply(w, status, map[string]string{"X-Content-Type-Options": "nosniff"}, "text/plain; charset=utf-8", raw)
		return true
	}
	_ = writeJSON(w, status, body)
	return true
}

func (s *Simulator) control(r *http.Request, segments []string) (int, any) {
	path := strings.Join(segments, "/")
	switch r.Method + " " + path {
	case "GET healthz":
		return http.StatusOK, map[string]any{"ok": true}
	case "GET state":
		return http.StatusOK, s.overview(0)
	case "GET ledger":
		all, provoked := s.Repeats()
		return http.StatusOK, map[string]any{"entries": s.Ledger(), "violations": emptyNotNull(s.Violations()),
			"repeats": all, "repeats_provoked": provoked}
	case "GET violations":
		if r.URL.Query().Get("settled") != "" {
			return http.StatusOK, emptyNotNull(s.CheckSettled())
		}
		return http.StatusOK, emptyNotNull(s.Violations())
	case "GET requests":
		return http.StatusOK, map[string]any{"requests": s.Requests(), "counts": s.countsByName()}
	case "GET builds":
		return http.StatusOK, s.Builds()
	case "POST builds":
		return s.controlCreate(r)
	case "GET jobs":
		return http.StatusOK, s.Jobs()
	case "GET agents":
		return http.StatusOK, s.Agents()
	case "GET queues":
		return http.StatusOK, s.Queues()
	case "GET stacks":
		return http.StatusOK, s.Stacks()
	case "GET endpoints":
		return http.StatusOK, s.Endpoints()
	case "POST faults":
		return s.controlFault(r)
	case "DELETE faults":
		s.ClearFaults()
		return http.StatusOK, map[string]any{}
	case "POST token":
		return s.controlToken(r)
	}
	return s.controlOne(r, segments)
}

// controlOne serves the paths that name a job, a build, a queue, …
func (s *Simulator) controlOne(r *http.Request, segments []string) (int, any) {
	if len(segments) < 2 || len(segments) > 3 {
		return http.StatusNotFound, message("no such control: see the package's documentation")
	}
	kind, id, verb := segments[0], segments[1], ""
	if len(segments) == 3 {
		verb = segments[2]
	}
	number, _ := strconv.Atoi(id)
	switch strings.TrimSpace(r.Method + " " + kind + " " + verb) {
	case "GET jobs":
		j, found := s.Job(id)
		return oneOr404(j, found)
	case "GET jobs log":
		log, found := s.Log(id)
		if !found {
			return http.StatusNotFound, message("no such job")
		}
		return http.StatusOK, emptyNotNull(log)
	case "POST jobs cancel":
		return outcome(s.CancelJob(id))
	case "POST jobs timeout":
		return outcome(s.TimeOutJob(id))
	case "POST jobs lapse":
		return outcome(s.LapseReservation(id))
	case "POST jobs offer":
		return outcome(s.OfferAgain(id))
	case "POST jobs retry":
		j, err := s.Retry(id)
		if err != nil {
			return outcome(err)
		}
		return http.StatusCreated, j
	case "GET builds":
		b, found := s.Build(number)
		return oneOr404(b, found)
	case "POST builds cancel":
		return outcome(s.CancelBuild(number))
	case "GET builds artifacts":
		return http.StatusOK, emptyNotNull(s.Artifacts(number))
	case "GET agents":
		a, found := s.Agent(id)
		return oneOr404(a, found)
	case "POST agents lose":
		return outcome(s.LoseAgent(id))
	case "POST agents pause":
		return outcome(s.PauseAgent(id))
	case "POST agents resume":
		return outcome(s.ResumeAgent(id))
	case "POST queues pause":
		return outcome(s.SetQueuePaused(id, true))
	case "POST queues resume":
		return outcome(s.SetQueuePaused(id, false))
	case "GET faults":
		return http.StatusOK, map[string]any{"id": id, "acted": s.FaultCount(id)}
	case "DELETE faults":
		if !s.RemoveFault(id) {
			return http.StatusNotFound, message("no such fault")
		}
		return http.StatusOK, map[string]any{}
	}
	return http.StatusNotFound, message("no such control: see the package's documentation")
}

// controlCreate takes a pipeline.yml as it is, with slug, repo, branch,
// commit, message and queue in the query; or JSON that holds them too, the
// pipeline as a string or an object.
func (s *Simulator) controlCreate(r *http.Request) (int, any) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 64<<20))
	if err != nil {
		return http.StatusBadRequest, message(err.Error())
	}
	q := r.URL.Query()
	req := BuildRequest{Pipeline: body, Slug: q.Get("slug"), Repo: q.Get("repo"), Branch: q.Get("branch"),
		Commit: q.Get("commit"), Message: q.Get("message"), Queue: q.Get("queue")}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		var in struct {
			Pipeline                                   json.RawMessage
			Slug, Repo, Branch, Commit, Message, Queue string
			Env                                        map[string]string
		}
		if err := json.Unmarshal(body, &in); err != nil {
			return http.StatusBadRequest, message(err.Error())
		}
		req = BuildRequest{Pipeline: in.Pipeline, Slug: in.Slug, Repo: in.Repo, Branch: in.Branch,
			Commit: in.Commit, Message: in.Message, Queue: in.Queue, Env: in.Env}
		var text string
		if json.Unmarshal(in.Pipeline, &text) == nil {
			req.Pipeline = []byte(text)
		}
	}
	b, err := s.CreateBuild(req)
	if err != nil {
		return http.StatusUnprocessableEntity, message(err.Error())
	}
	return http.StatusCreated, b
}

func (s *Simulator) controlFault(r *http.Request) (int, any) {
	var f Fault
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<20)).Decode(&f); err != nil {
		return http.StatusBadRequest, message(err.Error())
	}
	id, err := s.addFault(f)
	if err != nil {
		return http.StatusUnprocessableEntity, message(err.Error())
	}
	return http.StatusCreated, map[string]any{"id": id}
}

func (s *Simulator) controlToken(r *http.Request) (int, any) {
	var in struct{ Token string }
	if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<16)).Decode(&in); err != nil || in.Token == "" {
		return http.StatusBadRequest, message("want a token")
	}
	return outcome(s.RotateAgentToken(in.Token))
}

func (s *Simulator) countsByName() map[string]map[string]int {
	out := map[string]map[string]int{}
	for key, n := range s.Counts() {
		if out[key.Endpoint] == nil {
			out[key.Endpoint] = map[string]int{}
		}
		out[key.Endpoint][strconv.Itoa(key.Status)] = n
	}
	return out
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
	type row struct {
		Number  int       `json:"number"`
		Slug    string    `json:"slug"`
		State   string    `json:"state"`
		Message string    `json:"message"`
		Created time.Time `json:"created_at"`
	}
	builds := []row{}
	for _, b := range s.builds[max(0, len(s.builds)-50):] {
		builds = append(builds, row{b.number, b.request.Slug, b.state(), b.request.Message, b.createdAt})
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

func message(text string) map[string]any { return map[string]any{"message": text} }

func outcome(err error) (int, any) {
	if err != nil {
		return http.StatusUnprocessableEntity, message(err.Error())
	}
	return http.StatusOK, map[string]any{}
}

func oneOr404(v any, found bool) (int, any) {
	if !found {
		return http.StatusNotFound, message("not found")
	}
	return http.StatusOK, v
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
