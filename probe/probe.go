package probe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/stacks"
)

const (
	// appearWithin is how long jobs may be listed one after the other.
	appearWithin = 30 * time.Second
	// askWithin bounds all questions together, and tidyWithin what is done after them:
	// ten minutes are both.
	askWithin  = 9 * time.Minute
	tidyWithin = time.Minute
	// stopWithin is what is left for that after a SIGTERM.
	stopWithin = 15 * time.Second
)

// Options are what a run is given.
type Options struct {
	// Endpoint is the API's base URL; empty means stacks.DefaultEndpoint.
	Endpoint string
	Token    stacks.TokenSource
	// Queue is the key of a queue that nobody else uses.
	Queue string
	// Mark is that of a pipeline that was printed before (see Pipeline); empty makes a new
	// one.
	Mark string
	// WaitingJob and LimitedJob are the jobs of the steps of these names, which no call
	// tells: empty leaves what depends on them unknown.
	WaitingJob, LimitedJob contract.JobID
	// OtherQueue is another queue of the cluster, with which an agent registers that
	// takes no work.
	OtherQueue string
	// DefaultQueue: the queue is the cluster's default one, as whoever printed the pipeline
	// before knew. Without a Mark that is found out.
	DefaultQueue bool
	// AskPaused has a person pause the queue.
	AskPaused bool
	// SpendStacks registers and deregisters more stacks than an organization may have.
	SpendStacks bool
	// Wait is how long the pipeline's jobs are waited for.
	Wait time.Duration
	// Version is that of onejob.
	Version string
	// Transport is for tests; nil means the usual one.
	Transport http.RoundTripper
	// Pipeline is given what is to be uploaded.
	Pipeline func(yaml string)
	// Say is given a line of progress.
	Say func(line string)
}

// prober is one run.
type prober struct {
	Options
	api         *api
	stack       string
	queueKey    string // as Buildkite calls the queue
	printed     bool   // the pipeline was printed before
	ownsDefault bool   // it is the cluster's default queue
	jobs        jobs
	background  sync.WaitGroup

	mu       sync.Mutex
	stacks   []string   // that are to be deregistered
	sessions []*session // that are to be disconnected
	grants   []*grant   // that are to be finished
	findings map[string]Finding
}

// ErrInUse is a queue that isn't the probe's own.
var ErrInUse = errors.New("the queue is somebody else's")

// Run asks all questions. Whatever happens it ends all jobs of its pipeline, and leaves no
// agent and no stack. If ctx ends, it does that and returns with the cause; beside an
// error stands what was found out until then.
func Run(ctx context.Context, o Options) (report Report, err error) {
	p, err := newProber(o)
	if err != nil {
		return Report{}, err
	}
	watching, stop := context.WithCancel(ctx)
	defer func() {
		stop()
		p.background.Wait()
		left := p.tidy(ctx)
		report = p.report(left)
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("left behind: %s", strings.Join(left, "; "))
		}
	}()
	if err := p.begin(ctx); err != nil {
		return report, err
	}
	if err := p.appear(ctx); err != nil {
		return report, err
	}
	p.background.Go(func() { p.watch(watching) })
	asking, done := context.WithTimeoutCause(watching, askWithin, errTime)
	defer done()
	p.askAll(asking)
	if ctx.Err() != nil {
		return report, context.Cause(ctx)
	}
	return report, nil
}

var errTime = errors.New("the time for all questions was over")

func newProber(o Options) (*prober, error) {
	if o.Endpoint == "" {
		o.Endpoint = stacks.DefaultEndpoint
	}
	if err := contract.CheckEndpoint(o.Endpoint); err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	printed := o.Mark != ""
	if !printed {
		o.Mark = NewMark()
	}
	switch {
	case !markPattern.MatchString(o.Mark):
		return nil, fmt.Errorf("the mark %q is not that of a pipeline that was printed", o.Mark)
	case o.Queue == "":
		return nil, errors.New("no queue given: make one for the probe alone, and name its key")
	case o.Token == nil:
		return nil, errors.New("no agent token given")
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport).Clone()
	}
	return &prober{Options: o, api: newAPI(o.Transport, "onejob-probe/"+o.Version), stack: "onejob-probe-" + o.Mark, printed: printed,
		jobs: jobs{byID: map[contract.JobID]*job{}}, findings: map[string]Finding{}}, nil
}

// call is api.call with the agent token and the usual base where none is given.
func (p *prober) call(ctx context.Context, r request) (answer, error) {
	r, err := p.whole(r)
	if err != nil {
		return answer{}, err
	}
	return p.api.call(ctx, r)
}

// callNow is one call at once, whatever the pace, of which any answer is the answer.
func (p *prober) callNow(ctx context.Context, r request) (answer, error) {
	r, err := p.whole(r)
	if err != nil {
		return answer{}, err
	}
	return p.api.once(ctx, r)
}

func (p *prober) whole(r request) (request, error) {
	if r.base == "" {
		r.base = p.Endpoint
	}
	if r.token == "" {
		var err error
		if r.token, err = p.Token.Token(); err != nil {
			return r, err
		}
	}
	return r, nil
}

func (p *prober) say(line string) {
	if p.Say != nil {
		p.Say(line)
	}
}

// begin registers the probe's stack and refuses a queue that others use.
func (p *prober) begin(ctx context.Context) error {
	key, got, err := p.registerStack(ctx, p.stack, p.Queue)
	switch {
	case err != nil:
		return err
	case got.status == http.StatusNotFound:
		return fmt.Errorf("there is no self-hosted queue %s in the token's cluster (%s): make one for the probe alone", p.Queue, got)
	case !got.ok():
		return refused("registering a stack", got)
	}
	if p.queueKey = key; key == "" {
		p.queueKey = p.Queue
	}
	if err := p.alone(ctx); err != nil {
		return err
	}
	// A second stack tells which queue is the cluster's default one.
	if key, got, err = p.registerStack(ctx, p.stack+"-default", "__default__"); err != nil {
		return err
	}
	p.ownsDefault = got.ok() && key == p.queueKey && (p.DefaultQueue || !p.printed)
	return p.deregister(ctx, p.stack+"-default")
}

// alone makes sure that nobody else uses the queue.
func (p *prober) alone(ctx context.Context) error {
	strangers, err := p.look(ctx)
	if err != nil {
		return err
	}
	if strangers > 0 {
		return fmt.Errorf("%w: it has %d jobs that this run didn't make (of an earlier run of the probe? cancel its build, or give its --mark)", ErrInUse, strangers)
	}
	counts, _, err := p.counts(ctx)
	if errors.Is(err, errRefused) {
		p.say("the queue's agents can't be counted: " + err.Error())
		return nil // none of them meets the rule on the probe's jobs
	}
	if err != nil {
		return err
	}
	if counts.Agents.Total > 0 || counts.Jobs.Running > 0 {
		return fmt.Errorf("%w: it has %d agents and %d running jobs", ErrInUse, counts.Agents.Total, counts.Jobs.Running)
	}
	return nil
}

// appear shows the pipeline and waits for its jobs.
func (p *prober) appear(ctx context.Context) error {
	if p.Pipeline != nil && !p.printed {
		p.Pipeline(p.pipeline())
	}
	p.say(fmt.Sprintf("waiting for the jobs of the pipeline with the mark %s, %s at most: upload it, for example as the steps of a new pipeline", p.Mark, p.Wait))
	var first time.Time
	for end := time.Now().Add(p.Wait); ; {
		missing := p.missing()
		some := len(p.jobs.all()) > 0
		if some && first.IsZero() {
			first = time.Now()
		}
		switch {
		case len(missing) == 0:
			return nil
		case some && time.Since(first) > appearWithin:
			p.say("these steps have no job: " + strings.Join(missing, ", "))
			return nil
		case !some && time.Now().After(end):
			return fmt.Errorf("none of the pipeline's jobs was listed within %s", p.Wait)
		}
		if !jitter.Sleep(ctx, lookEvery) {
			return context.Cause(ctx)
		}
		if _, err := p.look(ctx); err != nil {
			return err
		}
	}
}

// missing are the steps whose jobs aren't listed though nothing holds them back.
func (p *prober) missing() (names []string) {
	for _, s := range p.steps() {
		if !s.waits() && len(p.jobs.named(s.name)) == 0 {
			names = append(names, s.name)
		}
	}
	return names
}

// jobOf is the first job of a step.
func (p *prober) jobOf(name string) (contract.JobID, error) {
	if all := p.jobs.named(name); len(all) > 0 {
		return all[0].id, nil
	}
	return "", fmt.Errorf("the step %s has no job", name)
}

func (p *prober) keep(s *session)   { p.locked(func() { p.sessions = append(p.sessions, s) }) }
func (p *prober) granted(g *grant)  { p.locked(func() { p.grants = append(p.grants, g) }) }
func (p *prober) forget(s *session) { p.locked(func() { p.sessions = without(p.sessions, s) }) }
func (p *prober) released(g *grant) { p.locked(func() { p.grants = without(p.grants, g) }) }
func (p *prober) locked(f func())   { p.mu.Lock(); defer p.mu.Unlock(); f() }
func without[T comparable](all []T, one T) []T {
	return slices.DeleteFunc(all, func(x T) bool { return x == one })
}
