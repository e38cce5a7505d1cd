package simulator

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// serveControl serves the page, and the control API under /_sim, by which scripts and other
// processes call the Simulator's methods. It needs no token, because a simulator has no
// secrets. It reports whether the path was one of its own.
func (s *Simulator) serveControl(w http.ResponseWriter, r *http.Request, segments []string) bool {
	if len(segments) == 0 {
		s.servePage(w, r)
		return true
	}
	if segments[0] != "_sim" {
		return false
	}
	status, body := s.control(r, segments[1:])
	switch body := body.(type) {
	case []byte:
		_ = writeReply(w, status, map[string]string{"X-Content-Type-Options": "nosniff"}, "text/plain; charset=utf-8", body)
	case document:
		_ = writeReply(w, status, map[string]string{"X-Content-Type-Options": "nosniff", "Content-Security-Policy": documentPolicy}, "text/html; charset=utf-8", body)
	default:
		_ = writeJSON(w, status, body)
	}
	return true
}

// control serves a path of the control API: one about all objects of a kind ("GET jobs") or
// about one object ("POST jobs cancel").
func (s *Simulator) control(r *http.Request, segments []string) (int, any) {
	if serve := controlsOfAll[r.Method+" "+strings.Join(segments, "/")]; serve != nil {
		return serve(s, r)
	}
	if len(segments) == 2 || len(segments) == 3 {
		name := strings.Join(append([]string{r.Method, segments[0]}, segments[2:]...), " ")
		if serve := controlsOfOne[name]; serve != nil {
			return serve(s, r, segments[1])
		}
	}
	return http.StatusNotFound, message("no such control: see the package's documentation")
}

var controlsOfAll = map[string]func(*Simulator, *http.Request) (int, any){
	"GET healthz": shows(func(*Simulator) any { return map[string]any{"ok": true} }),
	"GET state":   shows(func(s *Simulator) any { return s.overview(0) }),
	"GET ledger": shows(func(s *Simulator) any {
		all, provoked := s.Repeats()
		return map[string]any{"entries": s.Ledger(), "violations": emptyNotNull(s.Violations()),
			"repeats": all, "repeats_provoked": provoked}
	}),
	"GET violations": func(s *Simulator, r *http.Request) (int, any) {
		if r.URL.Query().Get("settled") != "" {
			return http.StatusOK, emptyNotNull(s.CheckSettled())
		}
		return http.StatusOK, emptyNotNull(s.Violations())
	},
	"GET requests": shows(func(s *Simulator) any {
		return map[string]any{"requests": s.Requests(), "counts": s.countsByName()}
	}),
	"GET builds":    shows(func(s *Simulator) any { return s.Builds() }),
	"GET jobs":      shows(func(s *Simulator) any { return s.Jobs() }),
	"GET agents":    shows(func(s *Simulator) any { return s.Agents() }),
	"GET queues":    shows(func(s *Simulator) any { return s.Queues() }),
	"GET stacks":    shows(func(s *Simulator) any { return s.Stacks() }),
	"GET endpoints": shows(func(s *Simulator) any { return s.Endpoints() }),
	"POST builds":   (*Simulator).controlCreate,
	"POST faults":   (*Simulator).controlFault,
	"POST token":    (*Simulator).controlToken,
	"DELETE faults": shows(func(s *Simulator) any { s.ClearFaults(); return map[string]any{} }),
}

func shows(what func(*Simulator) any) func(*Simulator, *http.Request) (int, any) {
	return func(s *Simulator, _ *http.Request) (int, any) { return http.StatusOK, what(s) }
}

// controlsOfOne serve the paths that name a job, a build, a queue, …
var controlsOfOne = map[string]func(*Simulator, *http.Request, string) (int, any){
	"GET jobs": found((*Simulator).Job),
	"GET jobs log": func(s *Simulator, _ *http.Request, id string) (int, any) {
		log, found := s.Log(id)
		if !found {
			return http.StatusNotFound, message("no such job")
		}
		return http.StatusOK, emptyNotNull(log)
	},
	"GET jobs log.html": controlLogPage,
	"POST jobs cancel":  does((*Simulator).CancelJob),
	"POST jobs timeout": does((*Simulator).TimeOutJob),
	"POST jobs lapse":   does((*Simulator).LapseReservation),
	"POST jobs offer":   does((*Simulator).OfferAgain),
	"POST jobs retry": func(s *Simulator, _ *http.Request, id string) (int, any) {
		j, err := s.Retry(id)
		if err != nil {
			return outcome(err)
		}
		return http.StatusCreated, j
	},
	"POST steps unblock": (*Simulator).controlUnblock,
	"GET builds":         found(numbered((*Simulator).Build)),
	"POST builds cancel": func(s *Simulator, _ *http.Request, id string) (int, any) {
		number, _ := strconv.Atoi(id)
		return outcome(s.CancelBuild(number))
	},
	"GET builds artifacts": func(s *Simulator, _ *http.Request, id string) (int, any) {
		number, _ := strconv.Atoi(id)
		return http.StatusOK, emptyNotNull(s.Artifacts(number))
	},
	"GET agents":         found((*Simulator).Agent),
	"POST agents lose":   does((*Simulator).LoseAgent),
	"POST agents pause":  does((*Simulator).PauseAgent),
	"POST agents resume": does((*Simulator).ResumeAgent),
	"POST queues pause":  does(func(s *Simulator, id string) error { return s.SetQueuePaused(id, true) }),
	"POST queues resume": does(func(s *Simulator, id string) error { return s.SetQueuePaused(id, false) }),
	"GET faults": func(s *Simulator, _ *http.Request, id string) (int, any) {
		return http.StatusOK, map[string]any{"id": id, "acted": s.FaultCount(id)}
	},
	"DELETE faults": func(s *Simulator, _ *http.Request, id string) (int, any) {
		if !s.RemoveFault(id) {
			return http.StatusNotFound, message("no such fault")
		}
		return http.StatusOK, map[string]any{}
	},
}

func does(what func(*Simulator, string) error) func(*Simulator, *http.Request, string) (int, any) {
	return func(s *Simulator, _ *http.Request, id string) (int, any) { return outcome(what(s, id)) }
}

func found[T any](get func(*Simulator, string) (T, bool)) func(*Simulator, *http.Request, string) (int, any) {
	return func(s *Simulator, _ *http.Request, id string) (int, any) {
		v, found := get(s, id)
		if !found {
			return http.StatusNotFound, message("not found")
		}
		return http.StatusOK, v
	}
}

func numbered[T any](get func(*Simulator, int) (T, bool)) func(*Simulator, string) (T, bool) {
	return func(s *Simulator, id string) (T, bool) {
		number, _ := strconv.Atoi(id)
		return get(s, number)
	}
}

// controlUnblock unblocks a block or input step. The body is {"fields": {key: value}} with
// the values of the step's fields. A value is a scalar, or a list for a field with multiple.
func (s *Simulator) controlUnblock(r *http.Request, id string) (int, any) {
	var in struct{ Fields map[string]any }
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, 1<<20))
	if err == nil && len(body) > 0 {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		return http.StatusBadRequest, message(err.Error())
	}
	fields := map[string]string{}
	for key, value := range in.Fields {
		chosen, err := texts(value)
		if err != nil {
			return http.StatusBadRequest, message(fmt.Sprintf("field %q: %v", key, err))
		}
		fields[key] = strings.Join(chosen, "\n")
	}
	return outcome(s.Unblock(id, fields))
}

func message(text string) map[string]any { return map[string]any{"message": text} }

func outcome(err error) (int, any) {
	if err != nil {
		return http.StatusUnprocessableEntity, message(err.Error())
	}
	return http.StatusOK, map[string]any{}
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
