package scheduler

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/util/workqueue"

	"github.com/onejob-dev/onejob/k8s/cache"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// Options is what a Scheduler is made of.
type Options struct {
	Kube kube.Client
	// Lean fills the caches and creates kjobs, see the function of that name;
	// nil means Kube.
	Lean kube.Client
	// Skew is how far the API server's clock is ahead; nil means that it isn't.
	Skew func() time.Duration
	// Load reads the configuration; it is called at start and every ReloadEvery.
	Load func() (*config.Config, error)
	// Version is told to Buildkite.
	Version string
	Log     *slog.Logger
	Metrics *Metrics
	// Lease elects a leader; nil means that this process always leads.
	Lease *LeaseOptions
	// Transport and Token are for tests; by default requests go out as usual
	// and tokens are read from files.
	Transport http.RoundTripper
	Token     stacks.TokenSource
	// ReloadEvery is how often the configuration and the template files are
	// read again; 0 means 10 s.
	ReloadEvery time.Duration
}

// Scheduler serves queues until its context ends.
type Scheduler struct {
	// As in Options.
	kube, lean  kube.Client
	skew        func() time.Duration
	load        func() (*config.Config, error)
	version     string
	log         *slog.Logger
	metrics     *Metrics
	lease       *LeaseOptions
	transport   http.RoundTripper
	token       stacks.TokenSource
	reloadEvery time.Duration

	events  *events.Recorder
	kueue   *events.Kueue
	creates workqueue.TypedRateLimitingInterface[item]
	breaker kube.Breaker

	// open opens a namespace's caches, for as long as Run runs; see openStore.
	open func(wait context.Context, namespace string) (*cache.Store, error)

	leading atomic.Bool
	synced  atomic.Bool
	// late: others led before, or this process did. The tokens that are refused
	// now need not have been then, and a restart would mend nothing.
	late atomic.Bool

	mu     sync.Mutex
	config *config.Config
	stores map[string]*cache.Store
	queues map[string]*served // by queue name
	faults map[string]error   // queues and files that can't be used, by name
}

// ErrAllRefused is returned by Run when no queue's token was accepted at start.
var ErrAllRefused = errors.New("buildkite accepts none of the queues' tokens: check the token file, that it holds a cluster's agent token, and that the queues belong to that cluster")

// New returns a Scheduler. It makes no request.
func New(o Options) *Scheduler {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = NewMetrics()
	}
	if o.Skew == nil {
		o.Skew = new(kube.Skew).Of
	}
	if o.ReloadEvery == 0 {
		o.ReloadEvery = 10 * time.Second
	}
	if o.Lean == nil {
		o.Lean = o.Kube
	}
	o.Metrics.build.WithLabelValues(o.Version).Set(1)
	return &Scheduler{
		kube: o.Kube, lean: o.Lean, skew: o.Skew, load: o.Load, version: o.Version, log: o.Log, metrics: o.Metrics, lease: o.Lease,
		transport: o.Transport, token: o.Token, reloadEvery: o.ReloadEvery, events: events.NewRecorder(o.Kube, o.Log), kueue: events.NewKueue(o.Kube),
		stores: map[string]*cache.Store{}, queues: map[string]*served{}, faults: map[string]error{},
	}
}

// drainTimeout bounds how long creates that are under way may take at the end.
const drainTimeout = 8 * time.Second

// Run serves until ctx ends, then drains: no new reservations, creates that
// are under way end, the Lease is released. It returns nil after a drain, and
// an error when the configuration can't be used, or Buildkite refuses every
// queue at start. A process that takes over from another, or leads again, goes
// on: its end would only bring the next one to the same refusal, and each restart
// is held back longer by the kubelet.
//
// A Lease that is lost ends the serving, and the process stands by again with
// its caches as they are. Ending the process would be as correct, but after a
// few outages of the API server the kubelet would hold back every replica's
// restart for minutes, and nobody would lead.
//
// A template or a namespace that can't be used is no such error, not even if no
// queue has a good one: what is wrong may be mended in the cluster, which no
// restart would notice sooner. Those queues aren't served, /readyz says why,
// and they are tried again at each reload.
func (s *Scheduler) Run(ctx context.Context) error {
	config, err := s.load()
	if err != nil {
		return err
	}
	s.config = config
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	// Caches are filled before there is a Lease, so that a takeover has only to
	// look at them.
	s.open = func(wait context.Context, namespace string) (*cache.Store, error) {
		return s.openStore(ctx, wait, namespace, wg.Go)
	}
	var filling sync.WaitGroup
	namespaces := map[string]bool{}
	for _, q := range config.Queues {
		if namespaces[q.Namespace] {
			continue
		}
		namespaces[q.Namespace] = true
		filling.Go(func() {
			if _, err := s.open(ctx, q.Namespace); err != nil && ctx.Err() == nil {
				// unready sees it for itself, until the informers have succeeded.
				s.log.Error("the caches of a queue's namespace are not filled yet", "queue", q.Name, "err", err)
			}
		})
	}
	filling.Wait()
	if ctx.Err() != nil {
		return nil // a drain with nothing to drain
	}
	s.synced.Store(true)
	debug.FreeOSMemory() // what the first lists were decoded in
	s.log.Info("caches are filled", "queues", len(config.Queues))
	if s.lease == nil {
		return s.lead(ctx)
	}
	for {
		if err := s.elect(ctx); !errors.Is(err, ErrLeaseLost) || ctx.Err() != nil {
			return err
		}
		s.log.Warn("the lease was lost, this process stands by")
	}
}

// fillTimeout is how long a namespace's caches may take to be filled. One that
// can't be listed must not keep the queues of the others waiting: its informers
// go on trying, and its queues are served when they have succeeded.
const fillTimeout = 30 * time.Second

// openStore starts the informers of a namespace, once, and waits until they
// have been filled or wait ends. They go on until ctx ends, which is the
// process's end: the next time that this process leads finds them as they are.
func (s *Scheduler) openStore(ctx, wait context.Context, namespace string, start func(func())) (*cache.Store, error) {
	s.mu.Lock()
	st := s.stores[namespace]
	s.mu.Unlock()
	if st != nil {
		return st, st.Filled(wait, fillTimeout/100) // it is tried again at each reload
	}
	st, err := cache.New(s.lean, s.log, namespace, cache.Handlers{
		Kjob: func(old, k *cache.Job, deleted bool) {
			if q := s.queueOf(namespace, k.Queue); q != nil {
				q.onKjob(old, k, deleted)
			}
		},
		Pod: func(p *cache.Pod, deleted bool) {
			if q := s.queueOf(namespace, p.Queue); q != nil {
				q.onPod(p, deleted)
			}
		},
	}, &s.breaker, s.skew)
	if err != nil {
		return nil, err
	}
	st.Run(ctx, start)
	s.mu.Lock()
	s.stores[namespace] = st
	s.mu.Unlock()
	return st, st.Filled(wait, fillTimeout)
}

func (s *Scheduler) queueOf(namespace, label string) *queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q.label == label && q.store.Namespace == namespace {
			return q.queue
		}
	}
	return nil
}

// queuesByName are the queues of the configuration, and those that are being served.
func (s *Scheduler) queuesByName() (configured []config.Queue, served map[string]*queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	served = map[string]*queue{}
	for name, q := range s.queues {
		served[name] = q.queue
	}
	return s.config.Queues, served
}
