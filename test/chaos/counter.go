package chaos

import (
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Execution is one run of a job's script, as the script itself told it.
type Execution struct {
	// ID is the run's own: the script draws it when it begins.
	ID, Pod string
	Ended   bool
}

// counter is where jobs' scripts say that they began and that they ended. No
// injury is between them, so that what it has seen happened, and what it hasn't
// seen of a job that passed didn't.
type counter struct {
	address string
	server  *http.Server

	mu   sync.Mutex
	runs map[string][]Execution // by job ID
}

// count starts a counter on a host's address. Close its server.
func count(host string) (*counter, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	c := &counter{address: listener.Addr().String(), runs: map[string][]Execution{}}
	c.server = &http.Server{Handler: c} //nolint:gosec // its clients are our own scripts
	go c.server.Serve(listener)
	return c, nil
}

// ServeHTTP takes /began/JOB/POD/RUN and /ended/JOB/POD/RUN, which may come
// more than once.
func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	if len(path) != 4 {
		http.NotFound(w, r)
		return
	}
	verb, job, run := path[0], path[1], Execution{ID: path[3], Pod: path[2]}
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.runs[job], func(have Execution) bool { return have.ID == run.ID })
	if i < 0 {
		i = len(c.runs[job])
		c.runs[job] = append(c.runs[job], run)
	}
	if verb == "ended" {
		c.runs[job][i].Ended = true
	}
}

func (c *counter) of(job string) []Execution {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.runs[job])
}
