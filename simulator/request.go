package simulator

import (
	"maps"
	"net/http"
	"time"
)

// Request is a record of one call and its reply.
type Request struct {
	Seq      uint64            `json:"seq"`
	Time     time.Time         `json:"time"`
	Took     time.Duration     `json:"took_ns"`
	Endpoint string            `json:"endpoint"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Query    string            `json:"query,omitempty"`
	Status   int               `json:"status"` // 0 means no reply
	JobID    string            `json:"job_id,omitempty"`
	AgentID  string            `json:"agent_id,omitempty"`
	Token    TokenKind         `json:"token,omitempty"`
	Withheld bool              `json:"withheld,omitempty"` // the client lost the reply
	Fault    string            `json:"fault,omitempty"`
	Header   map[string]string `json:"header,omitempty"`
}

// EndpointStatus is the key of Counts. Status 0 stands for calls without a reply.
type EndpointStatus struct {
	Endpoint string
	Status   int
}

var headersOfInterest = []string{
	"X-Buildkite-Backoff-Sequence", "X-Buildkite-Lock-Acquire-Job",
	"Buildkite-Timeout-Milliseconds", "User-Agent", "Content-Encoding",
}

// requestLog is a ring of the latest calls, and counters of all calls.
type requestLog struct {
	seq    uint64
	ring   []Request
	head   int
	counts map[EndpointStatus]int
}

func (l *requestLog) init(size int) {
	l.ring = make([]Request, 0, min(size, 1024))
	l.counts = map[EndpointStatus]int{}
}

func (l *requestLog) next() uint64 {
	l.seq++
	return l.seq
}

func (l *requestLog) add(r Request, size int) {
	l.counts[EndpointStatus{r.Endpoint, r.Status}]++
	if len(l.ring) < size {
		l.ring = append(l.ring, r)
		return
	}
	l.ring[l.head] = r
	l.head = (l.head + 1) % size
}

func (s *Simulator) record(c *call, arrived time.Time, status int) {
	var header map[string]string
	for _, name := range headersOfInterest {
		if value := c.r.Header.Get(name); value != "" {
			if header == nil {
				header = map[string]string{}
			}
			header[name] = value
		}
	}
	for name, values := range c.r.Header {
		if len(name) > 10 && name[:10] == "Buildkite-" {
			if header == nil {
				header = map[string]string{}
			}
			header[name] = values[0]
		}
	}
	req := Request{
		Seq: c.seq, Time: arrived, Took: s.now().Sub(arrived),
		Endpoint: c.route.name, Method: c.r.Method, Path: c.r.URL.Path, Query: c.r.URL.RawQuery,
		Status: status, JobID: c.jobID, AgentID: c.agentID(), Token: c.cred.kind,
		Withheld: c.withheld, Header: header,
	}
	if c.fault != nil {
		req.Fault = c.fault.id
	}
	s.conf.Logger.Debug("request", "endpoint", req.Endpoint, "status", status, "job_id", req.JobID,
		"agent_id", req.AgentID, "fault", req.Fault)

	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests.add(req, s.conf.RequestLog)
	s.touch()
}

// Requests returns the latest calls in the order in which they were answered, at most
// Config.RequestLog.
func (s *Simulator) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.requests
	return append(append(make([]Request, 0, len(l.ring)), l.ring[l.head:]...), l.ring[:l.head]...)
}

// Counts returns how many calls each endpoint answered with each status since New.
func (s *Simulator) Counts() map[EndpointStatus]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.requests.counts)
}

// Count is the sum of Counts for one endpoint and the statuses; without statuses, for all.
func (s *Simulator) Count(endpoint string, statuses ...int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := 0
	for key, n := range s.requests.counts {
		if key.Endpoint != endpoint {
			continue
		}
		if len(statuses) == 0 {
			sum += n
		}
		for _, status := range statuses {
			if status == key.Status {
				sum += n
			}
		}
	}
	return sum
}

// base is the URL by which the client reached the Simulator, without a path.
func base(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	if forwarded := r.Header.Get("X-Forwarded-Proto"); forwarded != "" {
		scheme = forwarded
	}
	return scheme + "://" + r.Host
}
