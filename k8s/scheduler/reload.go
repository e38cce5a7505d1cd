package scheduler

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
)

// reload reads the configuration and the template files again until ctx ends,
// and tries again what could not be used. Templates in the cluster are watched
// instead, see Follow.
func (s *Scheduler) reload(ctx, hard context.Context, queues *sync.WaitGroup) {
	for jitter.Sleep(ctx, s.reloadEvery) {
		c := s.loadAgain()
		if c == nil {
			continue
		}
		if !reflect.DeepEqual(c, s.config) || s.broken() {
			s.metrics.configs.WithLabelValues("ok").Inc()
			if *c.CreateWorkers != *s.config.CreateWorkers {
				s.log.Warn("create-workers has changed; it takes effect at the next start")
			}
			s.mu.Lock()
			s.config = c
			s.mu.Unlock()
			s.apply(ctx, hard, c, queues, nil)
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

// refresh reads the configuration as a process begins to lead: a standby may have waited
// for weeks since Run read it.
func (s *Scheduler) refresh() {
	c := s.loadAgain()
	s.mu.Lock()
	defer s.mu.Unlock()
	if c != nil {
		s.config = c
	}
	s.config.Own(s.installation, s.uid)
}

// loadAgain reads the configuration. It returns nil if that is invalid; then this
// process isn't ready and keeps the last good one.
func (s *Scheduler) loadAgain() *config.Config {
	c, err := s.load()
	before := s.faultOf("configuration")
	s.fault("configuration", err)
	if err == nil {
		c.Own(s.installation, s.uid)
		return c
	}
	s.metrics.configs.WithLabelValues("error").Inc()
	if isNews(err, before) {
		s.log.Error("configuration not loaded; the last good one stays in use", "err", err)
	}
	return nil
}

// apply starts, changes and stops queues until they match the configuration. It returns
// how many were started.
func (s *Scheduler) apply(ctx, hard context.Context, c *config.Config, queues *sync.WaitGroup, first chan<- error) int {
	started := 0
	s.metrics.pipelines.limit(c.PipelineMetrics)
	wanted := map[string]bool{}
	for _, q := range c.Queues {
		wanted[q.Name] = true
		set, err := s.settings(ctx, c, q)
		before := s.faultOf("queue " + q.Name)
		s.mu.Lock()
		have := s.queues[q.Name]
		s.mu.Unlock()
		if err != nil {
			s.notServed(q.Name, err)
			s.templateFault(q, before, err)
			continue
		}
		s.metrics.templates.WithLabelValues(q.Name, "ok").Inc()
		if have != nil && have.set.Load().identity() == set.identity() {
			have.change(func(now *settings) {
				set.template.Org, set.template.QueueKey = now.template.Org, now.template.QueueKey
				*now = *set
			})
			s.fault("queue "+q.Name, nil)
			continue
		}
		if err := s.serve(ctx, hard, c, set, have, queues, first); err != nil {
			s.notServed(q.Name, err)
			if isNews(err, before) {
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
			s.log.Info("queue no longer served", "queue", name)
			q.stop()
			delete(s.queues, name)
			queues.Go(func() { <-q.done; q.retire(ctx) })
		}
	}
	s.forgive(func(name string) bool { return !wanted[name] })
	return started
}

// notServed records why a queue isn't served, or not as configured.
func (s *Scheduler) notServed(name string, err error) {
	s.fault("queue "+name, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.queues[name] == nil {
		s.metrics.setReady(name, false)
	}
}

// forgive drops the faults of queues, and the gauges of those that were never
// served. Callers hold s.mu.
func (s *Scheduler) forgive(whose func(name string) bool) {
	maps.DeleteFunc(s.faults, func(what string, _ error) bool {
		name, isQueue := strings.CutPrefix(what, "queue ")
		if !isQueue || !whose(name) {
			return false
		}
		s.metrics.forget(name)
		return true
	})
}

func (s *Scheduler) settings(ctx context.Context, c *config.Config, q config.Queue) (*settings, error) {
	t, err := kjob.Load(ctx, s.kube, q)
	if err != nil {
		return nil, err
	}
	return &settings{Queue: q, endpoint: c.Endpoint, idle: time.Duration(*c.IdleInterval), template: t}, nil
}

// identity is what makes another queue of one: a change of what is left out can be made
// while serving.
type identity struct{ name, stack, endpoint, tokenFile, namespace, job, podTemplate string }

func (s *settings) identity() identity {
	return identity{s.Name, s.Stack, s.endpoint, s.TokenFile, s.Namespace, s.Template.Job, s.Template.PodTemplate}
}

// retemplate loads a queue's template again; after an invalid one the last good one
// stays in use. It returns false if the template could not be read, perhaps because of
// the API server, or if the settings changed meanwhile; then the caller tries again.
func (s *Scheduler) retemplate(ctx context.Context, q *queue) bool {
	old := q.set.Load()
	t, err := kjob.Load(ctx, s.kube, old.Queue)
	if ctx.Err() != nil {
		return false
	}
	if q.set.Load() != old {
		return false
	}
	before := s.faultOf("queue " + q.name)
	s.fault("queue "+q.name, err)
	if err != nil {
		s.templateFault(old.Queue, before, err)
		return apierrors.ReasonForError(err) == metav1.StatusReasonUnknown
	}
	t.Org, t.QueueKey = old.template.Org, old.template.QueueKey
	if reflect.DeepEqual(t, old.template) {
		return true
	}
	set := *old
	set.template = t
	if !q.set.CompareAndSwap(old, &set) {
		return false
	}
	s.metrics.templates.WithLabelValues(q.name, "ok").Inc()
	q.log.Info("template changed")
	return true
}

// templateFault reports, once for each reason, that a template is invalid.
func (s *Scheduler) templateFault(q config.Queue, before, err error) {
	s.metrics.templates.WithLabelValues(q.Name, "error").Inc()
	if !isNews(err, before) {
		return
	}
	s.log.Error("template not loaded; the last good one, if there was one, stays in use", "queue", q.Name, "err", err)
	s.events.Event(q.Namespace, "onejob-queue-"+kjob.LabelValue(q.Name), "", true, "TemplateInvalid", err.Error(), decide.Decision{})
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
	return slices.ContainsFunc(s.config.Queues, func(q config.Queue) bool {
		have, wanted := s.queues[q.Name], &settings{Queue: q, endpoint: s.config.Endpoint}
		return have == nil || have.set.Load().identity() != wanted.identity()
	})
}

// isNews: there was no error before, or another one.
func isNews(err, before error) bool { return before == nil || before.Error() != err.Error() }

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
