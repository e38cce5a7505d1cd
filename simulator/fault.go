package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Fault is a fault that is injected into the calls that it matches. At most one fault acts on
// a call: the first added that still applies.
//
// A fault "before" leaves the state as it was. A fault "after" lets the call change the state
// and then loses the reply.
type Fault struct {
	// Endpoint is a name (see Endpoints), "*", "agent/*" or "stacks/*".
	Endpoint string `json:"endpoint"`
	// JobID, when set, restricts the fault to calls for that job.
	JobID string `json:"job_id,omitempty"`
	// Contains, when set, restricts the fault to calls whose raw body contains that text. An
	// example is `\u0000`, a NUL in JSON, to which a Rails application with PostgreSQL answers
	// 500.
	Contains string `json:"contains,omitempty"`
	// Skip is how many matching calls the fault leaves alone first. Times is how often the
	// fault acts; 0 means without limit.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
	// Probability is the probability that the fault acts on a matching call; 0 means 1.
	Probability float64 `json:"probability,omitempty"`
	// From and Until bound an outage, measured from AddFault; Until 0 is open.
	From  time.Duration `json:"from,omitempty"`
	Until time.Duration `json:"until,omitempty"`

	// Delay passes before anything else. The call is then processed even if the client has
	// given up; its reply then counts as withheld.
	Delay time.Duration `json:"delay,omitempty"`
	// Status, when set, is the status of the reply, with Body and Header. The state doesn't
	// change.
	Status int               `json:"status,omitempty"`
	Body   string            `json:"body,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	// Hang never answers; with Reset "after" the state changes first.
	Hang bool `json:"hang,omitempty"`
	// Reset tears the connection "before" or "after" the state changed.
	Reset string `json:"reset,omitempty"`
	// Garbage answers 200 with a body that isn't JSON, "before" or "after".
	Garbage string `json:"garbage,omitempty"`
	// Truncate cuts the reply in half, after the state changed.
	Truncate bool `json:"truncate,omitempty"`

	id      string
	added   time.Time
	matched int
	acted   int
}

// UnmarshalJSON takes durations as Go writes them ("1m30s") or as nanoseconds. An unknown
// field is an error.
func (f *Fault) UnmarshalJSON(b []byte) error {
	type plain Fault
	aux := struct {
		*plain
		From  duration `json:"from"`
		Until duration `json:"until"`
		Delay duration `json:"delay"`
	}{plain: (*plain)(f)}
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&aux); err != nil {
		return err
	}
	f.From, f.Until, f.Delay = time.Duration(aux.From), time.Duration(aux.Until), time.Duration(aux.Delay)
	return nil
}

type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		parsed, err := time.ParseDuration(text)
		*d = duration(parsed)
		return err
	}
	return json.Unmarshal(b, (*int64)(d))
}

func (f *Fault) validate(endpoints []string) error {
	if !slices.Contains([]string{"*", "agent/*", "stacks/*", "stream_pings", "unknown"}, f.Endpoint) && !slices.Contains(endpoints, f.Endpoint) {
		return fmt.Errorf("unknown endpoint %q: want *, agent/*, stacks/* or one of %s", f.Endpoint, strings.Join(endpoints, " "))
	}
	for name, value := range map[string]string{"reset": f.Reset, "garbage": f.Garbage} {
		if !slices.Contains([]string{"", "before", "after"}, value) {
			return fmt.Errorf("%s is %q: want before or after", name, value)
		}
	}
	if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
		return fmt.Errorf("status is %d: want 200 to 599", f.Status)
	}
	if f.Probability < 0 || f.Probability > 1 {
		return fmt.Errorf("probability is %v: want 0 to 1", f.Probability)
	}
	if f.Status == 0 && !f.Hang && f.Reset == "" && f.Garbage == "" && !f.Truncate && f.Delay == 0 {
		return errors.New("a fault must do something: delay, status, hang, reset, garbage or truncate")
	}
	return nil
}

func (f *Fault) concerns(endpoint, jobID string, body []byte) bool {
	if f.JobID != "" && f.JobID != jobID || !bytes.Contains(body, []byte(f.Contains)) {
		return false
	}
	stacks := strings.HasPrefix(endpoint, "stacks_")
	switch f.Endpoint {
	case "*":
		return true
	case "agent/*":
		return !stacks
	case "stacks/*":
		return stacks
	}
	return f.Endpoint == endpoint
}

type faults struct {
	rng  *rand.Rand
	list []*Fault
	n    int
}

// pick returns the fault that acts on a call, if any. Callers hold s.mu.
func (fs *faults) pick(endpoint, jobID string, body []byte, now time.Time) *Fault {
	for _, f := range fs.list {
		age := now.Sub(f.added)
		if !f.concerns(endpoint, jobID, body) || age < f.From || f.Until > 0 && age >= f.Until {
			continue
		}
		if f.Times > 0 && f.acted >= f.Times {
			continue
		}
		f.matched++
		if f.matched <= f.Skip {
			continue
		}
		if f.Probability > 0 && fs.rng.Float64() >= f.Probability {
			continue
		}
		f.acted++
		return f
	}
	return nil
}

// AddFault makes f act from now on and returns its id. It panics if f is invalid (an unknown
// endpoint, nothing to do), because then the test is broken.
func (s *Simulator) AddFault(f Fault) (id string) {
	id, err := s.addFault(f)
	if err != nil {
		panic("simulator: " + err.Error())
	}
	return id
}

func (s *Simulator) addFault(f Fault) (string, error) {
	if err := f.validate(s.Endpoints()); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.n++
	f.id, f.added, f.matched, f.acted = fmt.Sprintf("fault-%d", s.faults.n), s.now(), 0, 0
	s.faults.list = append(s.faults.list, &f)
	return f.id, nil
}

// RemoveFault removes a fault, and reports whether it existed. Calls that the fault holds
// stay held.
func (s *Simulator) RemoveFault(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.faults.list)
	s.faults.list = slices.DeleteFunc(s.faults.list, func(f *Fault) bool { return f.id == id })
	return len(s.faults.list) < n
}

// ClearFaults removes all faults. Calls that a fault holds stay held.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults.list = nil
}

// FaultCount returns how often a fault acted, 0 after its removal.
func (s *Simulator) FaultCount(id string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults.list {
		if f.id == id {
			return f.acted
		}
	}
	return 0
}

// handleFaulty serves a call on which a fault acts. abort says that there is no reply, reached
// that the handler ran.
func (s *Simulator) handleFaulty(c *call) (rep reply, abort, reached bool) {
	f := c.fault
	if f.Delay > 0 {
		delay := time.NewTimer(f.Delay)
		select {
		case <-delay.C:
		case <-c.r.Context().Done():
			// The request arrives, whether or not its sender still waits.
			select {
			case <-delay.C:
			case <-s.closed:
			}
		case <-s.closed:
		}
		delay.Stop()
	}
	garbage := reply{status: http.StatusOK, raw: []byte("<html>a proxy's idea of an answer</html>"), contentType: "text/html", header: f.Header}
	switch {
	case f.Hang && f.Reset != "after":
		s.hang(c)
		return reply{}, true, false
	case f.Status != 0:
		return s.faultReply(f), false, false
	case f.Reset == "before":
		return reply{}, true, false
	case f.Garbage == "before":
		return garbage, false, false
	}

	c.withheld = f.Reset == "after" || f.Garbage == "after" || f.Truncate
	rep = s.process(c)
	switch {
	case f.Hang:
		s.hang(c)
		return reply{}, true, true
	case f.Reset == "after":
		return reply{}, true, true
	case f.Garbage == "after":
		return garbage, false, true
	}
	for name, value := range f.Header {
		rep = rep.with(name, value)
	}
	return rep, false, true
}

func (s *Simulator) faultReply(f *Fault) reply {
	rep := reply{status: f.Status, header: f.Header}
	switch {
	case f.Body != "" && json.Valid([]byte(f.Body)):
		rep.raw, rep.contentType = []byte(f.Body), "application/json; charset=utf-8"
	case f.Body != "":
		rep.raw, rep.contentType = []byte(f.Body), "text/plain; charset=utf-8"
	case f.Status >= 400:
		rep.body = map[string]any{"message": "Simulated " + http.StatusText(f.Status)}
	}
	return rep
}

func (s *Simulator) hang(c *call) {
	select {
	case <-c.r.Context().Done():
	case <-s.closed:
	}
}
