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
	// appearWithin is how long after the first job the others may be listed.
	appearWithin = 30 * time.Second
	// askWithin bounds all questions together, tidyWithin the cleaning up after them: ten
	// minutes together.
	askWithin  = 9 * time.Minute
	tidyWithin = time.Minute
	// stopWithin bounds the cleaning up after a SIGTERM.
	stopWithin = 15 * time.Second
)

// Options are the options of a run.
type Options struct {
	// Endpoint is the API's base URL; empty means stacks.DefaultEndpoint.
	Endpoint string
	Token    stacks.TokenSource
	// Queue is the key of a queue that nobody else uses.
	Queue string
	// Mark is the mark of a pipeline that was printed before (see Pipeline); empty makes a
	// new one.
	Mark string
	// WaitingJob and LimitedJob are the jobs of the steps waiting and limited. No call
	// returns their IDs; without them locked-states and locked-retry-after stay unknown.
	WaitingJob, LimitedJob contract.JobID
	// OtherQueue is another queue of the cluster. The probe registers an agent with it that
	// takes no dispatched work.
	OtherQueue string
	// DefaultQueue says that Queue is the cluster's default queue. The pipeline then has a step
	// that names no queue. The probe can't find out by itself: every call that tells takes a
	// place on the default queue, whosever that is.
	DefaultQueue bool
	// AskPaused makes the probe ask a person to pause the queue.
	AskPaused bool
	// SpendStacks registers and deregisters more stacks than an organization may have.
	SpendStacks bool
	// Wait is how long the probe waits for the pipeline's first job.
	Wait time.Duration
	// Version is onejob's version.
	Version string
	// Transport is for tests; nil means a clone of http.DefaultTransport.
	Transport http.RoundTripper
	// Pipeline, if not nil, is called with the pipeline to upload, unless Mark is given.
	Pipeline func(yaml string)
	// Say, if not nil, is called with each line of progress, by several goroutines.
	Say func(line string)
}

// prober is one run.
type prober struct {
	Options
	api        *api
	stack      string
	queueKey   string // the queue's key, as Buildkite returned it
	printed    bool   // the pipeline was printed before
	jobs       jobs
	background sync.WaitGroup

	mu       sync.Mutex
	stacks   []string   // still to be deregistered
	sessions []*session // still to be disconnected
	grants   []*grant   // still to be finished
	findings map[string]Finding
}

// ErrInUse means that others use the queue, too.
var ErrInUse = errors.New("others use the queue, too")

// Run asks all questions. In every case it then ends all jobs of its pipeline, disconnects
// its agents and deregisters its stacks; an error names what it couldn't clean up. If ctx
// ends, Run cleans up and returns ctx's cause. The Report beside an error has the findings
// until then.
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
		return nil, fmt.Errorf("the mark %q must be 6 to 20 small letters and digits, as in the printed pipeline", o.Mark)
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

// call is api.call. A request without a token or a base gets the agent token and Endpoint.
func (p *prober) call(ctx context.Context, r request) (answer, error) {
	r, err := p.whole(r)
	if err != nil {
		return answer{}, err
	}
	return p.api.call(ctx, r)
}

// callNow is api.once, with call's defaults: it neither waits for the pace nor repeats.
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
	return p.alone(ctx)
}

// alone returns ErrInUse if others use the queue.
func (p *prober) alone(ctx context.Context) error {
	strangers, err := p.look(ctx)
	if err != nil {
		return err
	}
	if strangers > 0 {
		return fmt.Errorf("%w: it has %d jobs that this run didn't make. If they are from an earlier run of the probe, cancel its build, or give its --mark", ErrInUse, strangers)
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

// missing are the steps whose jobs aren't listed yet, without those that wait for stepFirst.
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
