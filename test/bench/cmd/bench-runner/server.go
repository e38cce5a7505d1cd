package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// event is one request that came in.
type event struct {
	// call is the path's last element: register, acquire, start.
	call string
	// at is when it arrived, replied when its reply had been written.
	at, replied time.Time
}

// server is the simulator on a local port, which tells of each request.
type server struct {
	sim    *simulator.Simulator
	http   *http.Server
	url    string
	events chan event
}

func newServer() (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{
		// Intervals as Buildkite's, so that heartbeats don't disturb.
		sim: simulator.New(simulator.Config{PingInterval: 1, HeartbeatInterval: 60, JobStatusInterval: 1}),
		url: "http://" + listener.Addr().String() + "/v3",
		// One runner at a time sends far fewer.
		events: make(chan event, 4096),
	}
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go s.http.Serve(listener) //nolint:errcheck // it ends when closed
	return s, nil
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e := event{call: path.Base(r.URL.Path), at: time.Now()}
	s.sim.ServeHTTP(w, r)
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	e.replied = time.Now()
	select {
	case s.events <- e:
	default: // nobody is interested in so many
	}
}

// forget drops the events so far.
func (s *server) forget() {
	for len(s.events) > 0 {
		<-s.events
	}
}

// await returns the next event of a call.
func (s *server) await(ctx context.Context, call string) (event, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		select {
		case e := <-s.events:
			if e.call == call {
				return e, nil
			}
		case <-ctx.Done():
			return event{}, fmt.Errorf("waiting for %s: %w", call, ctx.Err())
		}
	}
}

// job makes a job that anybody may acquire and returns its ID.
func (s *server) job() (string, error) {
	b, err := s.sim.CreateBuild(simulator.BuildRequest{
		Pipeline: []byte(`{"steps": [{"command": "true"}]}`),
		Env:      map[string]string{"BUILDKITE_SKIP_CHECKOUT": "true"},
	})
	if err != nil {
		return "", fmt.Errorf("making a job: %w", err)
	}
	return b.JobIDs[0], nil
}

// lock has every acquire answered 423, come back in five minutes, until the
// returned function is called.
func (s *server) lock() (unlock func()) {
	id := s.sim.AddFault(simulator.Fault{
		Endpoint: "acquire", Status: http.StatusLocked, Header: map[string]string{"Retry-After": "300"},
	})
	return func() { s.sim.RemoveFault(id) }
}
