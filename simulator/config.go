package simulator

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// DefaultAgentToken is the registration token of a Simulator whose Config
// names none.
const DefaultAgentToken = "bkct_simulator"

// Config says how a Simulator behaves. The zero value is a Buildkite that
// serves well: one-second intervals, per-job tokens, the documented limits.
type Config struct {
	// AgentToken is the registration (cluster) token.
	AgentToken string
	// Organization and Cluster are slugs; the defaults are "acme" and "simulated".
	Organization, Cluster string
	// Queues, when set, are the only queues that exist: others are answered
	// 404. By default a queue exists as soon as it is named.
	Queues []string

	// PingInterval, HeartbeatInterval and JobStatusInterval go into the register reply,
	// in seconds; 0 means 1, or what the Profile says. RegisterReply can send any value.
	PingInterval, HeartbeatInterval, JobStatusInterval int
	// RegisterReply, when set, may change the register reply before it is
	// sent: absurd intervals, request_headers, an endpoint. It is called with
	// the Simulator locked and must not call it.
	RegisterReply func(reply map[string]any)
	// AcquireReply does the same for the reply of acquire and accept.
	AcquireReply func(reply map[string]any)

	// Profile is which Buildkite is played where nobody outside can know; the default is
	// the shipped one. An unknown side in it makes New panic: assumptions.Parse checks
	// what people write.
	Profile assumptions.Profile
	// HeartbeatTimeout is how long an agent may be silent (no connect, no
	// heartbeat) before it is lost and its job fails; the default is 3 min. It is
	// noticed up to a third of that later.
	HeartbeatTimeout time.Duration
	// AcceptTimeout is how long an agent may have a job without starting it, unless the
	// Profile has it kept. The default is 30 s.
	AcceptTimeout time.Duration
	// ReservationDefault is the life of a reservation that names none; the
	// default is 900 s.
	ReservationDefault time.Duration
	// ReservationMin is the shortest reservation where the Profile has a shorter one
	// refused or made longer; the default is a minute.
	ReservationMin time.Duration
	// ListLag and StatesLag are how late the list of scheduled jobs and get-states are:
	// what has come isn't there yet, and what is gone still is. The default is 5 s and
	// 2 s where the Profile says that they are late, and none elsewhere.
	ListLag, StatesLag time.Duration

	// ChunksMaxSizeBytes (default 102,400, or what the Profile says), LogMaxSizeBytes (default
	// 16 MiB) and ChunksIntervalSeconds (default 1) go into the acquire reply.
	// Log bytes beyond LogMaxSizeBytes are accounted for but not kept.
	ChunksMaxSizeBytes, LogMaxSizeBytes uint64
	ChunksIntervalSeconds               int
	// ArtifactMaxBytes limits one artifact; the default is 64 MiB.
	ArtifactMaxBytes int64

	// JobToken: acquire gives a token per job, and start, chunks, finish and
	// the helper commands need it. nil means true; set new(false) for a
	// Buildkite that leaves the session token in charge.
	JobToken *bool
	// FinishHeld are queues in which a stack may finish a job that an agent holds,
	// whatever the Profile says of others.
	FinishHeld []string
	// LockedRetryAfter is the Retry-After of a 423, verbatim; "" sends none, or the 5 of
	// the Profile.
	LockedRetryAfter string
	// SyncUploads applies pipeline uploads before the reply (200) rather
	// than after it (202 and a Location to poll).
	SyncUploads bool

	// RateLimits are those of the Stacks API.
	RateLimits RateLimits
	// MaxStacks is the number of connected stacks above which register is
	// answered 403. The default is 30, as in Buildkite; below zero there is no limit.
	MaxStacks int

	// Downstream are pipelines by slug that trigger steps can start.
	Downstream map[string][]byte
	// Secrets are what `buildkite-agent secret get` finds.
	Secrets map[string]string
	// RequestLog is how many calls Requests remembers; the default is 20,000.
	RequestLog int

	// Seed makes IDs and tokens reproducible; IDs also hold the time. The default
	// is one at random: two simulators of one machine never give the same ID.
	Seed uint64
	// Logger gets one debug line a request; the default discards.
	Logger *slog.Logger
}

// RateLimits are requests per second, stack and endpoint. 0 means the
// documented limit, a negative number none (docs/protocol.md#rate-limits).
type RateLimits struct {
	List, Reserve, Job, States, Finish, Notify, Default int
	// Disabled switches all of them off, and the headers stay away too.
	Disabled bool
}

func (c Config) withDefaults() Config {
	def(&c.AgentToken, DefaultAgentToken)
	def(&c.Seed, rand.Uint64())
	def(&c.Organization, "acme")
	def(&c.Cluster, "simulated")
	c.play()
	def(&c.PingInterval, 1)
	def(&c.HeartbeatInterval, 1)
	def(&c.JobStatusInterval, 1)
	def(&c.HeartbeatTimeout, 3*time.Minute)
	def(&c.MaxStacks, 30)
	def(&c.AcceptTimeout, 30*time.Second)
	def(&c.ReservationDefault, 900*time.Second)
	def(&c.ChunksMaxSizeBytes, 100<<10)
	def(&c.LogMaxSizeBytes, 16<<20)
	def(&c.ChunksIntervalSeconds, 1)
	def(&c.ArtifactMaxBytes, 64<<20)
	def(&c.JobToken, new(true))
	def(&c.RequestLog, 20_000)
	def(&c.Logger, slog.New(slog.DiscardHandler))
	def(&c.RateLimits.List, 10)
	def(&c.RateLimits.Reserve, 10)
	def(&c.RateLimits.Job, 1000)
	def(&c.RateLimits.States, 20)
	def(&c.RateLimits.Finish, 100)
	def(&c.RateLimits.Notify, 200)
	def(&c.RateLimits.Default, 10)
	return c
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
