package config

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/onejob-dev/onejob/stacks"
)

// The defaults, MinPoll, the least IdleInterval, and MostPipelines, the most
// PipelineMetrics. DefaultTokenFile is where deploy/ mounts the Secret.
const (
	DefaultStack          = "onejob"
	DefaultTokenFile      = "/var/run/onejob/token/token" //nolint:gosec // the path of one
	DefaultMaxInFlight    = 100
	DefaultMaxAttempts    = 10
	DefaultIdleInterval   = time.Second
	DefaultCreateWorkers  = 100
	DefaultPendingTimeout = 15 * time.Minute
	DefaultImageGrace     = 2 * time.Minute
	DefaultSlowStart      = 30 * time.Second
	MinPoll               = 200 * time.Millisecond
	MostPipelines         = 1000
)

// Schema is the JSON schema of the configuration file.
//
//go:embed config.schema.json
var Schema []byte

// Load reads a configuration file, sets the defaults and validates the result. The error
// has every fault. Load returns the configuration beside the error unless the file
// can't be read at all. Queues that name no namespace get namespace.
func Load(path, namespace string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := Parse(b, namespace)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// Parse is Load for the text of a file.
func Parse(b []byte, namespace string) (*Config, error) {
	var c Config
	errs, err := DecodeStrict(b, &c)
	errs = append(errs, err)
	if wrongType := (*json.UnmarshalTypeError)(nil); err != nil && !errors.As(err, &wrongType) {
		return nil, errors.Join(errs...)
	}
	c.complete(namespace)
	return &c, errors.Join(append(errs, c.Validate())...)
}

func (c *Config) complete(namespace string) {
	given := c.Stack != ""
	def(&c.Stack, DefaultStack)
	def(&c.Endpoint, stacks.DefaultEndpoint)
	def(&c.TokenFile, DefaultTokenFile)
	defNumber(&c.IdleInterval, Duration(DefaultIdleInterval))
	defNumber(&c.CreateWorkers, DefaultCreateWorkers)
	for i := range c.Queues {
		q := &c.Queues[i]
		q.StackGiven = given || q.Stack != ""
		def(&q.Stack, c.Stack+"-"+q.Name)
		def(&q.TokenFile, c.TokenFile)
		def(&q.Namespace, namespace)
		defNumber(&q.MaxInFlight, DefaultMaxInFlight)
		defNumber(&q.MaxAttempts, DefaultMaxAttempts)
		defNumber(&q.PendingTimeout, Duration(DefaultPendingTimeout))
		defNumber(&q.SuspendedTimeout, 0)
		defNumber(&q.ImageGrace, Duration(DefaultImageGrace))
		defNumber(&q.SlowStart, Duration(DefaultSlowStart))
		defNumber(&q.Hold, 0)
		def(&q.OnTerm, "cancel")
		def(&q.LostJobs, LostLeave)
		def(&q.AnnotateUsage, AnnotateVerdicts)
		def(&q.Unmatched, UnmatchedNotify)
		def(&q.Steps, StepsImage)
		def(&q.Programs, ProgramsCopy)
		def(&q.AgentEndpoint, c.Endpoint)
		def(&q.TokenSecret.Name, "onejob-agent-token")
		def(&q.TokenSecret.Key, "token")
		q.TemplateDefaults = c.TemplateDefaults
		q.offerClasses()
	}
	secrets := map[string][]string{}
	for _, q := range c.Queues {
		secrets[q.Namespace] = append(secrets[q.Namespace], q.TokenSecret.Name)
	}
	for i := range c.Queues {
		c.Queues[i].TokenSecrets = secrets[c.Queues[i].Namespace]
	}
}

// defNumber is def for numbers: an explicit 0 is not replaced.
func defNumber[T any](p **T, v T) {
	if *p == nil {
		*p = &v
	}
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
