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

// longest is how long a question for the state waits for a new one.
const longest = 10 * time.Second

// Exit is the agent's ExitCode with what it lacks: the signal that ended the process, 0
// if none did. The encoding leaves out what the other side doesn't know.
type Exit struct{ ID, ExitStatus, Signal int }

// errRegistered: there is one command in a pod.
var errRegistered = errors.New("the command's container is registered already")

// server is the runner's side of the RPC, for one client.
type server struct {
	env []string
	log io.Writer

	mu         sync.Mutex
	changed    chan struct{} // closed and made anew when state changes
	state      kubernetes.RunState
	told       kubernetes.RunState // what the client was answered last
	registered chan struct{}       // closed once it is
	exit       chan Exit           // gets the end, once
}

func newServer(env []string, log io.Writer) *server {
	return &server{
		env: env, log: log, changed: make(chan struct{}), told: -1,
		registered: make(chan struct{}), exit: make(chan Exit, 1),
	}
}

// listen serves the RPC at path until the listener is closed. The command's container
// may have another user, so anybody in the pod may connect, as to the stock agent's.
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

// set has the client do something else. Nothing comes after an interruption.
func (s *server) set(state kubernetes.RunState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < state {
		s.state = state
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// calls are what the client can call.
type calls struct{ s *server }

// Register gives the client the job's environment.
func (c *calls) Register(id int, reply *kubernetes.RegisterResponse) error {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	select {
	case <-c.s.registered:
		return errRegistered
	default:
	}
	if id != 0 {
		return fmt.Errorf("there is no container %d", id)
	}
	close(c.s.registered)
	reply.Env = c.s.env
	return nil
}

// Status answers with the state when it isn't what it was, or after a while.
func (c *calls) Status(_ int, reply *kubernetes.RunState) error {
	long, over := context.WithTimeout(context.Background(), longest)
	defer over()
	for {
		c.s.mu.Lock()
		state, changed, news := c.s.state, c.s.changed, c.s.state != c.s.told
		c.s.told = state
		c.s.mu.Unlock()
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

// Exit takes the end of the command, the first that comes.
func (c *calls) Exit(e Exit, _ *kubernetes.Empty) error {
	select {
	case c.s.exit <- e:
	default:
	}
	return nil
}
