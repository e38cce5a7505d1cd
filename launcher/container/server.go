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

// errRegistered refuses a second client, because a pod has one command.
var errRegistered = errors.New("the command's container is registered already")

// server is the runner's side of the RPC, for one client.
type server struct {
	env []string
	log io.Writer

	mu         sync.Mutex
	changed    chan struct{} // closed and made anew when state changes
	state      kubernetes.RunState
	told       kubernetes.RunState // the last answer to the client
	registered chan struct{}       // closed once the client has registered
	exit       chan Exit           // gets the command's end, once
}

func newServer(env []string, log io.Writer) *server {
	return &server{
		env: env, log: log, changed: make(chan struct{}), told: -1,
		registered: make(chan struct{}), exit: make(chan Exit, 1),
	}
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
func (s *server) set(state kubernetes.RunState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < state {
		s.state = state
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// calls are the methods that the client can call.
type calls struct{ s *server }

// Register gives the client the job's environment. A second call is an error.
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

// Status answers with the state: at once if it differs from the last answer, else when it
// changes, or after longest.
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

// Exit takes the command's end. It ignores all but the first.
func (c *calls) Exit(e Exit, _ *kubernetes.Empty) error {
	select {
	case c.s.exit <- e:
	default:
	}
	return nil
}
