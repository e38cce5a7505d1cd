package bench

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"time"
)

// scenario is one case of the report: how the server behaves.
type scenario struct {
	name string
	// outage is how long every acquire is answered 503 at first.
	outage time.Duration
	// after503 and after429 are the Retry-After of those replies, in seconds;
	// 0 sends none.
	after503, after429 int
}

// scenarios are the cases of the report. Case 2b is case 2 with a server that
// names its 30 s whenever it turns somebody away: the stock policy comes back
// in step each time, and so never has the chance that its own jitter gives it
// in case 2.
var scenarios = []scenario{
	{name: "1", outage: time.Minute},
	{name: "2", outage: time.Minute, after503: 30},
	{name: "2b", outage: time.Minute, after503: 30, after429: 30},
	{name: "3"},
	{name: "4", after429: 10},
}

// String says what the case is.
func (s scenario) String() string {
	text := "no outage"
	if s.outage > 0 {
		text = s.outage.String() + " of 503 first"
	}
	for _, r := range []struct {
		status string
		after  int
	}{{"503", s.after503}, {"429", s.after429}} {
		if r.after > 0 {
			text += ", Retry-After " + strconv.Itoa(r.after) + " on the " + r.status
		}
	}
	return text
}

// server is Buildkite in a herd: it registers everybody at once, grants the
// first capacity acquires of each whole second since it was made, and answers
// 429 to the rest of that second.
type server struct {
	scenario
	capacity int
	began    time.Time

	mu sync.Mutex
	// seconds are the acquires of each second, granted the jobs given out.
	seconds []int
	granted map[string]bool
	last    time.Duration
}

func newServer(s scenario, capacity int) *server {
	return &server{scenario: s, capacity: capacity, began: time.Now(), granted: map[string]bool{}}
}

// ServeHTTP answers register and acquire.
func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, isAcquire := strings.CutSuffix(r.URL.Path, "/acquire")
	if !isAcquire {
		reply(w, http.StatusOK, 0, map[string]any{"id": "agent", "access_token": "session"})
		return
	}
	status := s.acquire(id[strings.LastIndexByte(id, '/')+1:])
	switch status {
	case http.StatusOK:
		reply(w, status, 0, map[string]any{"id": id[strings.LastIndexByte(id, '/')+1:]})
	case http.StatusServiceUnavailable:
		reply(w, status, s.after503, map[string]any{"message": "outage"})
	default:
		reply(w, status, s.after429, map[string]any{"message": "slow down"})
	}
}

func (s *server) acquire(id string) (status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.began)
	second := int(now / time.Second)
	for len(s.seconds) <= second {
		s.seconds = append(s.seconds, 0)
	}
	s.seconds[second]++
	switch {
	case now < s.outage:
		return http.StatusServiceUnavailable
	case s.seconds[second] > s.capacity:
		return http.StatusTooManyRequests
	case s.granted[id]:
		return http.StatusUnprocessableEntity
	}
	s.granted[id] = true
	s.last = now
	return http.StatusOK
}

func reply(w http.ResponseWriter, status, retryAfter int, body any) {
	if retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// RoundTrip calls the server without a socket: ten thousand connections would
// only cost memory, and a real one blocks the bubble's clock.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	if r.Body != nil {
		_ = r.Body.Close()
	}
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}
