package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// ErrClosed is returned by methods that change or wait for state, once the Simulator is
// closed.
var ErrClosed = errors.New("simulator closed")

// Simulator plays the part of Buildkite that runners and schedulers call. It is an
// http.Handler and safe for concurrent use.
//
// A Simulator owns no goroutine: one timer runs all deadlines (lost agents, reservations, job
// timeouts). A Simulator that is made in a testing/synctest bubble therefore runs in the
// bubble's time.
type Simulator struct {
	conf   Config
	routes []route
	closed chan struct{}
	skew   atomic.Int64 // nanoseconds ahead of the machine's clock, see JumpClock

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

	caches       []*cacheEntry          // newest last
	cacheUploads map[string]*cacheEntry // by upload ID, not committed yet

	deferred []func(now time.Time) // see later

	deadlines deadlines
	faults    faults
	ledger    ledger
	requests  requestLog

	artifactCalls window
}

var _ http.Handler = (*Simulator)(nil)

// New returns a Simulator that serves at once. Callers must Close it. New panics if conf has
// an invalid Profile, or Secrets that CheckSecrets refuses.
func New(conf Config) *Simulator {
	if err := CheckSecrets(conf.Secrets); err != nil {
		panic(fmt.Sprint("simulator: ", err))
	}
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
		artifactCalls: window{span: time.Minute},
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

// Close ends hanging and delayed requests, stops the timer and calls CheckSettled. Requests
// after Close are answered 503.
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

// Wait blocks until cond is true, and returns nil; or until ctx ends, and returns ctx's
// cause; or until Close, and returns ErrClosed. cond runs at once and after each change,
// without the Simulator's lock, so cond may call any method. With thousands of jobs, call
// JobsIn and Job, which are cheap.
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

// touch notes a change, runs the deferred functions and wakes every Wait. Callers hold s.mu.
func (s *Simulator) touch() {
	s.runLater(s.now())
	s.version++
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// lockedWrite runs f under the lock, and touch if f succeeds. It returns ErrClosed if the
// Simulator is closed.
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
