package cache

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// socket is a connection that is only read, with room for what was sent.
type socket struct {
	net.Conn
	mu    sync.Mutex
	sent  bytes.Buffer
	over  bool
	more  chan struct{}
	reads int
}

func (s *socket) send(b []byte, over bool) {
	s.mu.Lock()
	s.sent.Write(b)
	s.over = over
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
}

func (s *socket) Read(b []byte) (int, error) {
	for {
		s.mu.Lock()
		if s.sent.Len() > 0 || s.over {
			defer s.mu.Unlock()
			s.reads++
			return s.sent.Read(b)
		}
		s.mu.Unlock()
		<-s.more
	}
}

func pacedSocket(t *testing.T) (*socket, net.Conn) {
	s := &socket{more: make(chan struct{}, 1)}
	conn, err := paced(func(context.Context, string, string) (net.Conn, error) { return s, nil })(t.Context(), "tcp", "")
	if err != nil {
		t.Fatal(err)
	}
	return s, conn
}

// Events that come one by one are read in batches, none of them later than the
// pace; after a silence the first one is read at once.
func TestPacedReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const events, every, silence = 1000, 2 * time.Millisecond, time.Second
		s, conn := pacedSocket(t)
		began := time.Now()
		go func() {
			for n := range events {
				time.Sleep(every)
				s.send([]byte{byte(n)}, false)
			}
			time.Sleep(silence)
			s.send([]byte("x"), true)
		}()
		b := make([]byte, 1)
		for n := range events {
			if _, err := conn.Read(b); err != nil || b[0] != byte(n) {
				t.Fatalf("event %d: %d, %v", n, b[0], err)
			}
			if late := time.Since(began.Add(time.Duration(n+1) * every)); late > pace {
				t.Errorf("event %d was read %s late", n, late)
			}
		}
		if most := int(events*every/pace) + 2; s.reads > most {
			t.Errorf("%d reads for %d events, want at most %d", s.reads, events, most)
		}
		if _, err := conn.Read(b); err != nil || time.Since(began) != events*every+silence {
			t.Errorf("after a silence: %v, read %s after the beginning", err, time.Since(began))
		}
		if _, err := conn.Read(b); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: %v", err)
		}
	})
}

// Much at a time isn't held up.
func TestPacedBulk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, conn := pacedSocket(t)
		sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		s.send(sent, true)
		began := time.Now()
		got, err := io.ReadAll(conn)
		if took := time.Since(began); err != nil || !bytes.Equal(got, sent) || took > 2*pace {
			t.Errorf("%d of %d bytes in %s: %v", len(got), len(sent), took, err)
		}
	})
}
