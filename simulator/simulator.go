package simulator

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is what methods return once the Simulator is closed.
var ErrClosed = errors.New("simulator closed")

// Simulator is Buildkite as far as runners and schedulers see it. It is an
// http.Handler and safe for concurrent use.
//
// It owns no goroutine: deadlines (lost agents, reservations, job timeouts)
// hang on one timer. Created inside a testing/synctest bubble it therefore
// lives in the bubble's time.
type Simulator struct {
	conf   Config
	routes []route
	closed chan struct{}
	skew   atomic.Int64 // of our clock against the machine's, see JumpClock

	mu      sync.Mutex
	rng     *rand.Rand
	orgID   string
	cluster string // UUID
	version uint64 // counts changes
	changed chan struct{}
	isShut  bool

	tokens   map[string]bool   // registration tokens
	sessions map[string]*agent // by access token
	agents   map[string]*agent // by ID
	jobToken map[string]grant

	builds    []*build
	buildByID map[string]*build
	pipelines map[string]string // slug -> UUID
	jobs      map[string]*job
	jobOrder  []*job
	stepByID  map[string]*node
	queues    map[string]*queue
	groups    map[string]*concurrencyGroup
	stacks    map[string]*stack
	artifacts map[string]*artifact

	caches       []*cacheEntry          // the newest last
	cacheUploads map[string]*cacheEntry // by upload ID, not committed yet

	deferred []func(now time.Time) // see later

	deadlines deadlines
	faults    faults
	ledger    ledger
	requests  requestLog
}

var _ http.Handler = (*Simulator)(nil)

// New returns a Simulator that serves at once. Close it.
func New(conf Config) *Simulator {
	conf = conf.withDefaults()
	s := &Simulator{
		conf:      conf,
		closed:    make(chan struct{}),
		rng:       rand.New(rand.NewPCG(conf.Seed, 0x6f6e656a6f62)),
		tokens:    map[string]bool{},
		sessions:  map[string]*agent{},
		agents:    map[string]*agent{},
		jobToken:  map[string]grant{},
		buildByID: map[string]*build{},
		pipelines: map[string]string{},
		jobs:      map[string]*job{},
		stepByID:  map[string]*node{},
		queues:    map[string]*queue{},
		groups:    map[string]*concurrencyGroup{},
		stacks:    map[string]*stack{},
		artifacts: map[string]*artifact{}, cacheUploads: map[string]*cacheEntry{},
	}
	s.orgID, s.cluster = s.newID(), s.newID()
	s.tokens[s.conf.AgentToken] = true
	for _, q := range s.conf.Queues {
		s.queue(q)
	}
	s.ledger.books = map[string]*book{}
	s.requests.init(s.conf.RequestLog)
	s.faults.rng = rand.New(rand.NewPCG(conf.Seed, 0x6661756c74))
	s.deadlines.fire, s.deadlines.now = s.expire, s.now
	s.routes = s.routeTable()
	return s
}

// Close ends hanging and delayed requests, stops the timer and settles the
// books: see CheckSettled. Requests after Close are answered 503.
func (s *Simulator) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShut {
		return
	}
	s.isShut = true
	close(s.closed)
	s.deadlines.stop()
	s.checkSettled()
	s.touch()
}

// Wait blocks until cond holds, and returns nil; or until ctx ends, and
// returns its cause. cond runs at once and after each change, without the
// Simulator's lock, so it may call any method; with thousands of jobs JobsIn
// and Job are the cheap ones.
func (s *Simulator) Wait(ctx context.Context, cond func() bool) error {
	for {
		s.mu.Lock()
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()

		if cond() {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.closed:
			if cond() {
				return nil
			}
			return ErrClosed
		case <-changed:
		}
	}
}

// touch notes a change, does what follows of it and wakes those who Wait.
// Callers hold s.mu.
func (s *Simulator) touch() {
	s.runLater(s.now())
	s.version++
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// lockedWrite runs f under the lock unless the Simulator is closed.
func (s *Simulator) lockedWrite(f func(now time.Time) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShut {
		return ErrClosed
	}
	if err := f(s.now()); err != nil {
		return err
	}
	s.touch()
	return nil
}
