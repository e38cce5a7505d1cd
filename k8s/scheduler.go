package k8s

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/workqueue"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Options is what a Scheduler is made of.
type Options struct {
	Kube kubernetes.Interface
	// Load reads the configuration; it is called at start and again whenever
	// Changed says so.
	Load func() (*Config, error)
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
	Options
	kube    kubernetes.Interface
	log     *slog.Logger
	metrics *Metrics
	version string
	events  *recorder
	creates workqueue.TypedRateLimitingInterface[item]
	brake   brake

	leading atomic.Bool
	synced  atomic.Bool

	mu     sync.Mutex
	config *Config
	stores map[string]*store
	queues map[string]*served // by queue name
	faults map[string]error   // queues and files that can't be used, by name
}

// served is a queue that is being served.
type served struct {
	*queue
	stop context.CancelFunc
	done chan struct{}
}

// last is the queue that may still have creates under way, nil if none can.
func (s *served) last() *queue {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.claims) == 0 {
		return nil
	}
	s.before = nil // no chain: they lapse in seconds, and this is rare
	return s.queue
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
	if o.ReloadEvery == 0 {
		o.ReloadEvery = 10 * time.Second
	}
	return &Scheduler{
		Options: o, kube: o.Kube, log: o.Log, metrics: o.Metrics, version: o.Version, events: newRecorder(o.Kube, o.Log),
		stores: map[string]*store{}, queues: map[string]*served{}, faults: map[string]error{},
	}
}

// drainTimeout bounds how long creates that are under way may take at the end.
const drainTimeout = 8 * time.Second

// Run serves until ctx ends, then drains: no new reservations, creates that
// are under way end, the Lease is released. It returns nil after a drain, and
// an error when the configuration can't be used, the Lease was lost, or
// Buildkite refuses every queue at start.
func (s *Scheduler) Run(ctx context.Context) error {
	config, err := s.Load()
	if err != nil {
		return err
	}
	s.config = config
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	// Caches are filled before there is a Lease, so that a takeover has only to
	// look at them.
	for _, q := range config.Queues {
		if _, err := s.openStore(ctx, q.Namespace, wg.Go); ctx.Err() != nil {
			return nil // a drain with nothing to drain
		} else if err != nil {
			s.fault("queue "+q.Name, err)
			s.log.Error("queue not served yet", "queue", q.Name, "err", err)
		}
	}
	s.synced.Store(true)
	debug.FreeOSMemory() // what the first lists were decoded in
	s.log.Info("caches are filled", "queues", len(config.Queues))
	if s.Lease == nil {
		return s.lead(ctx)
	}
	return s.elect(ctx)
}

// fillTimeout is how long a namespace's caches may take to be filled. One that
// can't be listed must not keep the queues of the others waiting: its informers
// go on trying, and its queues are served when they have succeeded.
const fillTimeout = 30 * time.Second

// openStore starts the informers of a namespace, once, and waits until they
// have been filled.
func (s *Scheduler) openStore(ctx context.Context, namespace string, start func(func())) (*store, error) {
	s.mu.Lock()
	st := s.stores[namespace]
	s.mu.Unlock()
	if st != nil {
		return st, st.filled(ctx, fillTimeout/10)
	}
	st, err := newStore(s.kube, namespace, handlers{
		kjob: func(old, k *batchv1.Job, deleted bool) {
			if q := s.queueOf(namespace, k.Labels); q != nil {
				q.onKjob(old, k, deleted)
			}
		},
		pod: func(p *corev1.Pod, deleted bool) {
			if q := s.queueOf(namespace, p.Labels); q != nil {
				q.onPod(p, deleted)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	st.run(ctx, start)
	s.mu.Lock()
	s.stores[namespace] = st
	s.mu.Unlock()
	return st, st.filled(ctx, fillTimeout)
}

func (s *Scheduler) queueOf(namespace string, labels map[string]string) *queue {
	label := labels[contract.LabelQueue]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queues {
		if q.label == label && q.store.namespace == namespace {
			return q.queue
		}
	}
	return nil
}

// lead serves the queues until ctx ends.
func (s *Scheduler) lead(ctx context.Context) error {
	s.leading.Store(true)
	s.metrics.leader.Set(1)
	defer s.leading.Store(false)
	defer s.metrics.leader.Set(0)
	s.creates = newCreateQueue()

	// hard outlives ctx by the drain, unless the Lease is lost: then nothing
	// may be written any more.
	hard, abort := context.WithCancelCause(context.WithoutCancel(ctx))
	defer abort(nil)
	stopDrain := context.AfterFunc(ctx, func() {
		cause := context.Cause(ctx)
		if errors.Is(cause, ErrLeaseLost) {
			abort(cause)
			return
		}
		time.AfterFunc(drainTimeout, func() { abort(cause) })
	})
	defer stopDrain()

	var wg sync.WaitGroup
	events, stopEvents := context.WithCancel(context.WithoutCancel(ctx))
	wg.Go(func() { s.events.run(events) })
	for range s.config.CreateWorkers {
		wg.Go(func() { s.creator(hard) })
	}
	first := make(chan error, len(s.config.Queues))
	var queues sync.WaitGroup
	started := s.apply(ctx, hard, s.config, &queues, &wg, first)
	err := firstResults(ctx, first, started)
	if err == nil {
		s.reload(ctx, hard, &queues, &wg)
	}
	s.mu.Lock()
	for _, q := range s.queues {
		q.stop()
	}
	s.mu.Unlock()
	queues.Wait()
	s.creates.ShutDown()
	stopEvents()
	wg.Wait()
	s.mu.Lock()
	clear(s.queues)
	s.mu.Unlock()
	return err
}

// firstResults waits for each queue's first contact with Buildkite.
func firstResults(ctx context.Context, first <-chan error, n int) error {
	refused := 0
	var last error
	for range n {
		select {
		case err := <-first:
			if errors.Is(err, stacks.ErrRefused) || errors.Is(err, stacks.ErrNoCluster) {
				refused, last = refused+1, err
			}
		case <-ctx.Done():
			return nil
		}
	}
	if n > 0 && refused == n {
		return fmt.Errorf("%w: %w", ErrAllRefused, last)
	}
	return nil
}

// apply starts, changes and stops queues until what is served is what the
// configuration says. It returns how many were started.
func (s *Scheduler) apply(ctx, hard context.Context, c *Config, queues, wg *sync.WaitGroup, first chan<- error) int {
	started := 0
	wanted := map[string]bool{}
	for _, q := range c.Queues {
		wanted[q.Name] = true
		set, err := s.settings(ctx, c, q)
		before := s.faultOf("queue " + q.Name)
		s.mu.Lock()
		have := s.queues[q.Name]
		s.mu.Unlock()
		if err != nil {
			s.fault("queue "+q.Name, err)
			s.templateFault(q, before, err)
			continue
		}
		s.metrics.templates.WithLabelValues(q.Name, "ok").Inc()
		if have != nil && sameIdentity(have.set.Load(), set) {
			set.template.Org = have.set.Load().template.Org
			have.set.Store(set)
			s.fault("queue "+q.Name, nil)
			continue
		}
		if have != nil {
			have.stop()
			<-have.done
		}
		if err := s.serve(ctx, hard, c, set, have, queues, wg, first); err != nil {
			s.fault("queue "+q.Name, err)
			if before == nil || before.Error() != err.Error() {
				s.log.Error("queue not served", "queue", q.Name, "err", err)
			}
			continue
		}
		s.fault("queue "+q.Name, nil)
		started++
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, q := range s.queues {
		if !wanted[name] {
			s.log.Info("queue is served no more", "queue", name)
			q.stop()
			delete(s.queues, name)
		}
	}
	maps.DeleteFunc(s.faults, func(what string, _ error) bool {
		name, isQueue := strings.CutPrefix(what, "queue ")
		return isQueue && !wanted[name]
	})
	return started
}

// templateFault says, once for each reason, that a template can't be used.
func (s *Scheduler) templateFault(q Queue, before, err error) {
	s.metrics.templates.WithLabelValues(q.Name, "error").Inc()
	if before != nil && before.Error() == err.Error() {
		return
	}
	s.log.Error("template not loaded; the last good one, if there was one, stays in use", "queue", q.Name, "err", err)
	s.events.event(q.Namespace, "onejob-queue-"+labelValue(q.Name), "", true, "TemplateInvalid", err.Error())
}

func (s *Scheduler) settings(ctx context.Context, c *Config, q Queue) (*settings, error) {
	t, err := LoadTemplate(ctx, s.kube, q)
	if err != nil {
		return nil, err
	}
	return &settings{Queue: q, endpoint: c.Endpoint, idle: time.Duration(c.IdleInterval), template: t}, nil
}

// sameIdentity: a change of what is left out can be made while serving.
func sameIdentity(a, b *settings) bool {
	return a.Name == b.Name && a.Stack == b.Stack && a.endpoint == b.endpoint && a.TokenFile == b.TokenFile && a.Namespace == b.Namespace &&
		a.Template.Job == b.Template.Job && a.Template.PodTemplate == b.Template.PodTemplate
}

// serve starts a queue, in the place of another one if before isn't nil.
func (s *Scheduler) serve(ctx, hard context.Context, c *Config, set *settings, before *served, queues, wg *sync.WaitGroup, first chan<- error) error {
	store, err := s.openStore(ctx, set.Namespace, wg.Go)
	if err != nil {
		return err
	}
	token := s.Token
	if token == nil {
		token = stacks.NewTokenFile(set.TokenFile)
	}
	client, err := stacks.New(stacks.Config{
		Endpoint: c.Endpoint, Token: token, Stack: set.Stack, Queue: set.Name, UserAgent: "onejob/" + s.version,
		Transport: s.Transport, Observe: s.metrics.observe(set.Name),
	})
	if err != nil {
		return err
	}
	qctx, stop := context.WithCancel(ctx)
	s.mu.Lock()
	q := &served{queue: newQueue(s, set, store, client, before.last()), stop: stop, done: make(chan struct{})}
	s.queues[set.Name] = q
	s.mu.Unlock()
	queues.Go(func() {
		defer close(q.done)
		defer stop()
		q.run(qctx, hard, func(err error) {
			if first != nil {
				first <- err
			}
		})
	})
	queues.Go(func() {
		followTemplate(qctx, s.kube, set.Queue, func() bool { return s.retemplate(qctx, q.queue) })
	})
	return nil
}

// retemplate loads a queue's template again; a bad one leaves the last good one.
// It is false if the template could not be read, which may be the API server's
// fault.
func (s *Scheduler) retemplate(ctx context.Context, q *queue) bool {
	old := q.set.Load()
	t, err := LoadTemplate(ctx, s.kube, old.Queue)
	if ctx.Err() != nil {
		return false
	}
	before := s.faultOf("queue " + q.name)
	s.fault("queue "+q.name, err)
	if err != nil {
		s.templateFault(old.Queue, before, err)
		return apierrors.ReasonForError(err) == metav1.StatusReasonUnknown
	}
	t.Org = old.template.Org
	if reflect.DeepEqual(t, old.template) {
		return true
	}
	set := *old
	set.template = t
	q.set.Store(&set)
	s.metrics.templates.WithLabelValues(q.name, "ok").Inc()
	q.log.Info("template changed")
	return true
}

// reload reads the configuration and the template files again until ctx ends.
func (s *Scheduler) reload(ctx, hard context.Context, queues, wg *sync.WaitGroup) {
	for pause(ctx, s.ReloadEvery, nil) {
		c, err := s.Load()
		before := s.faultOf("configuration")
		s.fault("configuration", err)
		if err != nil {
			s.metrics.configs.WithLabelValues("error").Inc()
			if before == nil || before.Error() != err.Error() {
				s.log.Error("configuration not loaded; the last good one stays in use", "err", err)
			}
			continue
		}
		if !reflect.DeepEqual(c, s.config) || s.broken() {
			s.metrics.configs.WithLabelValues("ok").Inc()
			if c.CreateWorkers != s.config.CreateWorkers {
				s.log.Warn("create-workers has changed; it takes effect at the next start")
			}
			s.mu.Lock()
			s.config = c
			s.mu.Unlock()
			s.apply(ctx, hard, c, queues, wg, nil)
			continue
		}
		s.mu.Lock()
		var files []*queue
		for _, q := range s.queues {
			if q.set.Load().Template.File != "" {
				files = append(files, q.queue)
			}
		}
		s.mu.Unlock()
		for _, q := range files {
			s.retemplate(ctx, q)
		}
	}
}

// broken: a queue of the configuration isn't served, or not as it says.
func (s *Scheduler) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for what := range s.faults {
		if strings.HasPrefix(what, "queue ") {
			return true
		}
	}
	return len(s.queues) < len(s.config.Queues)
}

func (s *Scheduler) fault(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.faults, what)
		return
	}
	s.faults[what] = err
}

func (s *Scheduler) faultOf(what string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults[what]
}
