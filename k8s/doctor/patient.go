package doctor

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	appsclient "k8s.io/client-go/kubernetes/typed/apps/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorizationclient "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// Patient is an installation, and the ways to it.
type Patient struct {
	Config *config.Config
	// ConfigError is what is wrong with the file, nil for nothing.
	ConfigError error
	// Token is a queue's token; nil if there is none here.
	Token   func(config.Queue) (stacks.TokenSource, error)
	Version string // ours

	// REST is nil if there is no cluster to talk to, and ClusterError says why.
	REST         *rest.Config
	ClusterError error
	// Namespace and Lease are the scheduler's.
	Namespace, Lease string
	// PullTimeout bounds the check of images, 0 for no such check.
	PullTimeout time.Duration

	kube      kube.Client
	reviews   authorizationclient.SelfSubjectAccessReviewInterface
	self      authenticationclient.SelfSubjectReviewInterface
	accounts  []string // those of the scheduler's pods
	apps      appsclient.AppsV1Interface
	skew      clock
	transport http.RoundTripper // to Buildkite
	buildkite clock
	templates map[string]*kjob.Template
	version   string // Kubernetes'
}

// checkTimeout bounds one check, but that of images.
const checkTimeout = 30 * time.Second

// Examine makes all checks. It takes as long as an image takes to be pulled, and a few
// seconds without that.
func (p *Patient) Examine(ctx context.Context) Report {
	var r Report
	add := func(check func(context.Context) []Finding) {
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		r = append(r, check(ctx)...)
	}
	r = append(r, p.configuration())
	p.transport = p.buildkite.wrap(http.DefaultTransport.(*http.Transport).Clone())
	add(p.endpoint)
	for _, q := range p.Config.Queues {
		add(func(ctx context.Context) []Finding { return p.queue(ctx, q) })
	}
	r = append(r, p.buildkite.finding("Buildkite"))
	add(p.cluster)
	if p.kube == nil || p.version == "" {
		return r
	}
	add(p.proxy)
	add(p.scheduler)
	for _, namespace := range p.namespaces() {
		add(func(ctx context.Context) []Finding { return p.rights(ctx, namespace) })
	}
	p.templates = map[string]*kjob.Template{}
	for _, q := range p.Config.Queues {
		add(func(ctx context.Context) []Finding { return p.template(ctx, q) })
		if t := p.templates[q.Name]; t != nil {
			add(func(ctx context.Context) []Finding { return p.nodes(ctx, q, t) })
			add(func(ctx context.Context) []Finding { return p.mirrors(ctx, q) })
		}
	}
	r = append(r, p.skew.finding("the API server"))
	for _, q := range p.Config.Queues {
		if t := p.templates[q.Name]; t != nil && p.PullTimeout > 0 {
			r = append(r, p.image(ctx, q, t))
		}
	}
	return r
}

// namespaces are the queues', each once.
func (p *Patient) namespaces() (all []string) {
	seen := map[string]bool{}
	for _, q := range p.Config.Queues {
		if !seen[q.Namespace] {
			seen[q.Namespace] = true
			all = append(all, q.Namespace)
		}
	}
	return all
}

// configuration is what `onejob lint` says of the file.
func (p *Patient) configuration() Finding {
	f := about("config", "")
	if p.ConfigError != nil {
		return f.not(Fail, p.ConfigError.Error(), "correct the file; onejob lint -f FILE checks it alone")
	}
	return f.ok("every setting is valid")
}

// clock compares a server's clock with ours, by the Date of its answers.
type clock struct {
	kube.Skew
	heard atomic.Bool
}

func (c *clock) wrap(next http.RoundTripper) http.RoundTripper {
	learns := c.Wrap(next)
	return kube.RoundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := learns.RoundTrip(req)
		if err == nil && resp.Header.Get("Date") != "" {
			c.heard.Store(true)
		}
		return resp, err
	})
}

func (c *clock) finding(whose string) Finding {
	f := about("clock", whose)
	switch d := c.Of().Round(time.Second); {
	case !c.heard.Load():
		return f.not(Skip, "no answer told its time", "")
	case d > 0:
		return f.not(Warn, "its clock is "+d.String()+" ahead of this machine's", "set the clock of this machine, or of the one that is wrong, by NTP")
	case d < 0:
		return f.not(Warn, "its clock is "+(-d).String()+" behind this machine's", "set the clock of this machine, or of the one that is wrong, by NTP")
	}
	return f.ok("within 3s of this machine's")
}
