package endtoend

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
)

// untilTold is a job that runs until the test lets it end (scene.letGo). GATE
// stands for the gate's address.
const untilTold = `echo begun; exec 3<>/dev/tcp/GATE; echo "$BUILDKITE_JOB_ID" >&3; read -r go <&3`

// gate holds jobs back: each connects, says its ID and waits for an answer.
type gate struct {
	net.Listener
	mu   sync.Mutex
	open map[string]chan struct{} // by job ID
}

// at is the gate of all rows.
var at *gate

func newGate(host string) (*gate, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, err
	}
	g := &gate{Listener: listener, open: map[string]chan struct{}{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go g.hold(conn)
		}
	}()
	return g, nil
}

func (g *gate) hold(conn net.Conn) {
	defer conn.Close()
	id, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	<-g.of(strings.TrimSpace(id))
	fmt.Fprintln(conn, "go")
}

func (g *gate) of(id string) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open[id] == nil {
		g.open[id] = make(chan struct{})
	}
	return g.open[id]
}

// path is the gate's address as bash has it, under /dev/tcp.
func (g *gate) path() string {
	host, port, _ := net.SplitHostPort(g.Addr().String()) //nolint:errcheck // its own
	return host + "/" + port
}

// letGo lets the job end.
func (s *scene) letGo() { close(at.of(s.id)) }
