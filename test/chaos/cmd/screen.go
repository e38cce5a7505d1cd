package main

import (
	"fmt"
	"io"
	"sync"
)

// screen shows lines, and on a terminal a last one that is redrawn.
type screen struct {
	out      io.Writer
	terminal bool

	mu   sync.Mutex
	last string
}

func newScreen(out io.Writer, terminal bool) *screen { return &screen{out: out, terminal: terminal} }

func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		fmt.Fprintln(s.out, text)
		return
	}
	fmt.Fprintf(s.out, "\r\x1b[K%s\n%s", text, s.last)
}

func (s *screen) status(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = text
	fmt.Fprintf(s.out, "\r\x1b[K%s", text)
}
