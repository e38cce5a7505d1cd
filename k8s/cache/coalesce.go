package cache

import (
	"bufio"
	"context"
	"net"
	"time"
)

// pace is the least time between two reads of a watch's connection. Events that arrive
// in between are read, decoded and decided on together: a process that is woken for
// each of a thousand events takes twice the CPU time. The first event after a silence
// is read at once.
const pace = 50 * time.Millisecond

// readAhead is the size of one read; after a full read the next one doesn't wait.
const readAhead = 64 << 10

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// paced dials connections that are read at that pace.
func paced(dial dialer) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &pacedConn{Conn: c, reader: bufio.NewReaderSize(&pacedReader{conn: c}, readAhead)}, nil
	}
}

type pacedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *pacedConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// pacedReader is read by one goroutine at a time, as every connection is.
type pacedReader struct {
	conn net.Conn
	next time.Time // when the next read may be
}

func (r *pacedReader) Read(b []byte) (int, error) {
	time.Sleep(time.Until(r.next))
	n, err := r.conn.Read(b)
	if n < len(b) {
		r.next = time.Now().Add(pace)
	}
	return n, err
}
