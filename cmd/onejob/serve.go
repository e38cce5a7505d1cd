package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// The port is open to everybody whom the NetworkPolicy admits, or to all if none is
// enforced. So connections are limited in number, and each in time and size. At about
// 30 kB each, all of them take 4 MB. Two scrapers, a person and the kubelet's probes
// need ten.
const (
	mostConnections = 128
	mostHeaderBytes = 8 << 10
	headerTimeout   = 5 * time.Second
	readTimeout     = 10 * time.Second
	// pprof adds what a profile was asked to take.
	writeTimeout = 30 * time.Second
	idleTimeout  = 30 * time.Second
)

// serve answers on l until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, MaxHeaderBytes: mostHeaderBytes,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
	}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(&room{Listener: l}); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// room is a listener with a limited number of connections. One more connection is
// accepted, and the oldest connection of the address that has the most is closed.
//
// netutil.LimitListener would let new connections wait instead: a job that holds every
// connection could keep out the kubelet's probes. Here a probe, which makes a new
// connection and is answered within milliseconds, is served at once. One address can't
// make another lose a connection. If there are many addresses, the oldest connection is
// closed, and that is a probe's only if 128 more came since.
type room struct {
	net.Listener
	mu   sync.Mutex
	open []*guest // the oldest first
}

type guest struct {
	net.Conn
	room *room
	from string // the address without the port
}

// Accept waits for a connection.
func (r *room) Accept() (net.Conn, error) {
	c, err := r.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g := &guest{Conn: c, room: r, from: c.RemoteAddr().String()}
	if host, _, err := net.SplitHostPort(g.from); err == nil {
		g.from = host
	}
	if goes := r.enter(g); goes != nil {
		_ = goes.Close()
	}
	return g, nil
}

// enter returns the connection that has to go for this one, if any.
func (r *room) enter(g *guest) (goes *guest) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = append(r.open, g)
	if len(r.open) <= mostConnections {
		return nil
	}
	has := map[string]int{}
	for _, o := range r.open {
		has[o.from]++
	}
	for _, o := range r.open {
		if goes == nil || has[o.from] > has[goes.from] {
			goes = o
		}
	}
	return goes
}

// Close closes the connection, and makes room.
func (g *guest) Close() error {
	g.room.mu.Lock()
	if i := slices.Index(g.room.open, g); i >= 0 {
		g.room.open = slices.Delete(g.room.open, i, i+1)
	}
	g.room.mu.Unlock()
	return g.Conn.Close()
}
