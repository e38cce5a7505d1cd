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
	"github.com/onejob-dev/onejob/k8s/traces"
	"github.com/onejob-dev/onejob/stacks"
)

// Options configure a Scheduler.
type Options struct {
	Kube kube.Client
	// Lean fills the caches and creates kjobs, see the function of that name;
	// nil means Kube.
	Lean kube.Client
	// Skew is how far the API server's clock is ahead; nil means that it isn't.
	Skew func() time.Duration
	// Load reads the configuration; it is called at start and every ReloadEvery. What it
	// returns is the scheduler's, which makes it that of its installation.
	Load func() (*config.Config, error)
	// Version is told to Buildkite.
	Version string
	Log     *slog.Logger
	Metrics *Metrics
	// Traces takes attempts that have ended; nil means that nobody wants them. Its owner
	// closes it.
	Traces *traces.Exporter
	// Lease elects a leader; nil means that this process always leads.
	Lease *LeaseOptions
	// Installation is the mark of what this installation of onejob makes, empty for
	// none, and UID what no other one has, which makes its stacks' keys: see config.Own.
	// UID is asked each time that this process begins to lead, until there is no error;
	// nil means that the keys are those of the configuration.
	Installation string
	UID          func(context.Context) (string, error)
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
	traces      *traces.Exporter
	lease       *LeaseOptions
	transport   http.RoundTripper
	token       stacks.TokenSource
	reloadEvery time.Duration
	// installation and askUID are Options' Installation and UID, and uid the last answer:
	// only whoever leads has it.
	installation string
	askUID       func(context.Context) (string, error)
	uid          string

	events  *events.Recorder
	kueue   *events.Kueue
	creates workqueue.TypedRateLimitingInterface[item]
	breaker kube.Breaker

	// open opens a namespace's caches, for as long as Run runs; see openStore.
	open func(wait context.Context, namespace string) (*cache.Store, error)

	leading atomic.Bool
	synced  atomic.Bool
	// late: this process or another led before. A token that is refused now may have
	// been accepted then, and a restart would not help.
	late atomic.Bool
	// leader is who has the Lease, as last heard, and losses what the page shows.
	leader atomic.Pointer[string]
	losses losses

	mu     sync.Mutex
	config *config.Config
	stores map[string]*cache.Store
	queues map[string]*served // by queue name
	faults map[string]error   // queues and files that can't be used, by name
}

// ErrAllRefused is returned by Run when no queue's token was accepted at start.
var ErrAllRefused = errors.New("Buildkite accepts none of the queues' tokens: check that the token file holds a cluster's agent token, and that the queues belong to that cluster")

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
		kube: o.Kube, lean: o.Lean, skew: o.Skew, load: o.Load, version: o.Version, log: o.Log, metrics: o.Metrics, traces: o.Traces, lease: o.Lease,
		transport: o.Transport, token: o.Token, reloadEvery: o.ReloadEvery, installation: o.Installation, askUID: o.UID, events: events.NewRecorder(o.Kube, o.Log), kueue: events.NewKueue(o.Kube),
		stores: map[string]*cache.Store{}, queues: map[string]*served{}, faults: map[string]error{},
	}
}

// drainTimeout bounds how long creates that are under way may take at the end.
const drainTimeout = 8 * time.Second

// Run serves until ctx ends, then drains: no new reservations, creates under way end,
// the Lease is released. It returns nil after a drain, and an error when the
// configuration is invalid, or Buildkite refuses every queue at the start. A process
// that takes over from another, or leads again, goes on: a restart would meet the same
// refusal, and the kubelet delays each restart longer.
//
// After losing its Lease, the process stops serving and waits for the Lease with its
// caches as they are. Ending the process would be correct too, but after a few outages
// of the API server the kubelet would delay every replica's restart for minutes, and
// nobody would lead.
//
// An invalid template or namespace isn't such an error, even if no queue has a valid
// one: it may be fixed in the cluster, and a restart would not notice that sooner.
// These queues aren't served, /readyz says why, and each reload tries them again.
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
				// unready reports this until the informers have succeeded.
				s.log.Error("the cache of the queue's namespace is not filled yet", "queue", q.Name, "err", err)
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
		s.log.Warn("the lease was lost; this process waits for it")
	}
}

// fillTimeout is how long filling a namespace's caches may take. A namespace that can't
// be listed must not delay the queues of others: its informers retry, and its queues
// are served when they have succeeded.
const fillTimeout = 30 * time.Second

// openStore starts the informers of a namespace, once, and waits until they are filled
// or wait ends. They run until ctx ends, with the process, so that they are still
// filled when this process leads again.
func (s *Scheduler) openStore(ctx, wait context.Context, namespace string, start func(func())) (*cache.Store, error) {
	s.mu.Lock()
	st := s.stores[namespace]
	s.mu.Unlock()
	if st != nil {
		return st, st.Filled(wait, fillTimeout/100) // it is tried again at each reload
	}
	st, err := cache.New(s.lean, s.log, namespace, s.installation, cache.Handlers{
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
