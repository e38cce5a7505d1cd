package container

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"sync"
	"time"

	"github.com/buildkite/agent/v3/kubernetes"
)

// name is what the stock agent's RPC calls its server.
const name = "Runner"

// longest is how long Status waits for the state to change.
const longest = 10 * time.Second

// Exit is the agent's ExitCode, plus the signal that ended the process, 0 if none did. The
// encoding (gob) skips a field that the other side lacks.
type Exit struct{ ID, ExitStatus, Signal int }

// errRegistered: each container has one client.
var errRegistered = errors.New("the command's container is registered already")

// server is the runner's side of the RPC, for one client in each command container.
type server struct {
	env     []string
	log     io.Writer
	clients []*peer
}

// peer is what the server knows of a client.
type peer struct {
	mu         sync.Mutex
	changed    chan struct{} // closed and made anew when state changes
	state      kubernetes.RunState
	told       kubernetes.RunState // the last answer to the client
	registered chan struct{}       // closed once the client has registered
	exit       chan Exit           // gets the command's end, once
}

func newServer(env []string, log io.Writer, n int) *server {
	s := &server{env: env, log: log}
	for range n {
		s.clients = append(s.clients, &peer{changed: make(chan struct{}), told: -1, registered: make(chan struct{}), exit: make(chan Exit, 1)})
	}
	return s
}

// peer is the client of a number.
func (s *server) peer(id int) (*peer, error) {
	if id < 0 || id >= len(s.clients) {
		return nil, fmt.Errorf("there is no container %d", id)
	}
	return s.clients[id], nil
}

// listen serves the RPC at path until the listener is closed. Any user of the pod may
// connect, as with the stock agent, because the command's container may run as another user.
func (s *server) listen(path string) (net.Listener, error) {
	r := rpc.NewServer()
	if err := r.RegisterName(name, &calls{s}); err != nil {
		return nil, fmt.Errorf("preparing the RPC: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listening for the command's container: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil { //nolint:gosec // see above
		l.Close() //nolint:errcheck // nobody has connected
		return nil, fmt.Errorf("opening %s to the command's container: %w", path, err)
	}
	mux := http.NewServeMux()
	mux.Handle(rpc.DefaultRPCPath, r)
	go (&http.Server{Handler: mux, ReadHeaderTimeout: longest}).Serve(l) //nolint:errcheck // it ends with the listener
	return l, nil
}

// set moves the client to a later state; it ignores an earlier one. RunStateInterrupt is the
// last.
func (p *peer) set(state kubernetes.RunState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state < state {
		p.state = state
		close(p.changed)
		p.changed = make(chan struct{})
	}
}

// calls are what a client can call.
type calls struct{ s *server }

// Register gives a client the job's environment.
func (c *calls) Register(id int, reply *kubernetes.RegisterResponse) error {
	p, err := c.s.peer(id)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.registered:
		return errRegistered
	default:
	}
	close(p.registered)
	reply.Env = c.s.env
	return nil
}

// Status answers with the client's state when it isn't what it was, or after a while.
func (c *calls) Status(id int, reply *kubernetes.RunState) error {
	p, err := c.s.peer(id)
	if err != nil {
		return err
	}
	long, over := context.WithTimeout(context.Background(), longest)
	defer over()
	for {
		p.mu.Lock()
		state, changed, news := p.state, p.changed, p.state != p.told
		p.told = state
		p.mu.Unlock()
		*reply = state
		if news {
			return nil
		}
		select {
		case <-changed:
		case <-long.Done():
			return nil
		}
	}
}

// WriteLogs writes to the job's log.
func (c *calls) WriteLogs(logs kubernetes.Logs, _ *kubernetes.Empty) error {
	_, err := c.s.log.Write(logs.Data)
	return err
}

// Exit takes the end of a command, the first that comes.
func (c *calls) Exit(e Exit, _ *kubernetes.Empty) error {
	p, err := c.s.peer(e.ID)
	if err != nil {
		return err
	}
	select {
	case p.exit <- e:
	default:
	}
	return nil
}
