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

// Config says how a Simulator behaves. The zero value is a Buildkite without faults:
// intervals of a second, job tokens, the documented limits.
type Config struct {
	// AgentToken is the registration (cluster) token.
	AgentToken string
	// Organization and Cluster are slugs; the defaults are "acme" and "simulated".
	Organization, Cluster string
	// Queues, when set, are the only queues that exist. For another queue the Stacks API
	// answers 404, register answers as Profile.RegisterUnknownQueue says, and CreateBuild
	// returns an error. By default a queue exists as soon as a call or a pipeline names it.
	Queues []string

	// PingInterval, HeartbeatInterval and JobStatusInterval go into the register reply,
	// in seconds; 0 means 1, or what the Profile says. RegisterReply can send any value.
	PingInterval, HeartbeatInterval, JobStatusInterval int
	// RegisterReply, when set, may change the register reply before it is
	// sent: absurd intervals, request_headers, an endpoint. The Simulator is locked
	// meanwhile, so RegisterReply must not call its methods.
	RegisterReply func(reply map[string]any)
	// AcquireReply does the same for the reply of acquire and accept.
	AcquireReply func(reply map[string]any)

	// Profile has the answers to the questions that only Buildkite knows (package
	// assumptions); the default is the shipped profile. New panics if the Profile has an
	// unknown answer.
	Profile assumptions.Profile
	// HeartbeatTimeout is how long an agent may be silent (no connect, no heartbeat) before
	// it is lost and its job fails; the default is 3 min. The Simulator loses the agent up to
	// a third of that time later.
	HeartbeatTimeout time.Duration
	// AcceptTimeout is how long an agent may have a job without starting it, unless
	// Profile.UnstartedJob is kept. The default is 30 s.
	AcceptTimeout time.Duration
	// ReservationDefault is how long a reservation lasts whose request names no time; the
	// default is 900 s.
	ReservationDefault time.Duration
	// ReservationMin is the shortest reservation, if Profile.ShortReservation refuses or
	// raises shorter ones; the default is a minute.
	ReservationMin time.Duration
	// ListLag and StatesLag are how late the list of scheduled jobs and get-states are. The
	// defaults are 5 s and 2 s if the Profile says late, else 0.
	ListLag, StatesLag time.Duration

	// ChunksMaxSizeBytes (default 102,400, or what the Profile says), LogMaxSizeBytes (default
	// 1,024 MiB) and ChunksIntervalSeconds (default 1, or what the Profile says) go into the
	// acquire reply; without LogMaxSizeBytes if the Profile says so. Log bytes beyond
	// LogMaxSizeBytes, or beyond 16 MiB, are accounted for but not kept.
	ChunksMaxSizeBytes, LogMaxSizeBytes uint64
	ChunksIntervalSeconds               int
	// ArtifactMaxBytes limits one artifact, which the Simulator has in memory; the default is
	// 64 MiB. Buildkite's limit of 10 GiB is above any larger one.
	ArtifactMaxBytes int64

	// JobToken says that acquire returns a token for the job, which start, chunks, finish and
	// the helper commands then need. nil means true. With new(false) these calls take the
	// session token.
	JobToken *bool
	// FinishHeld are the keys of queues in which a stack may finish a job that an agent holds,
	// whatever the Profile says.
	FinishHeld []string
	// LockedRetryAfter is the Retry-After of a 423, verbatim. Empty sends none, or 5 if
	// Profile.LockedRetryAfter is sent.
	LockedRetryAfter string
	// SyncUploads answers asynchronous pipeline uploads with 200 or 422, instead of 202 and a
	// Location to poll. In both cases the upload is applied before the reply.
	SyncUploads bool

	// RateLimits are the limits of the Stacks API.
	RateLimits RateLimits
	// MaxStacks is the largest number of stacks; registering one more is answered 403.
	// Profile.StackLimit says whether only connected stacks count. The default is 30, as in
	// Buildkite; below zero there is no limit.
	MaxStacks int

	// Build has the Slug, Repo, Branch, Commit, Queue and Env of builds that are created
	// over HTTP by a call that doesn't name them.
	Build BuildRequest
	// Downstream are the pipelines that trigger steps can start, by slug.
	Downstream map[string][]byte
	// Secrets are the values that `buildkite-agent secret get` finds, by key, of 32 KiB at
	// most.
	Secrets map[string]string
	// RequestLog is how many calls Requests remembers; the default is 20,000.
	RequestLog int

	// Seed makes IDs and tokens reproducible; IDs also contain the time. The default
	// is random, so that two simulators don't use the same IDs.
	Seed uint64
	// Logger gets one debug line a request, and a warning for each unsupported attribute of
	// a pipeline; the default discards both.
	Logger *slog.Logger
}

// RateLimits are requests per second, for each stack and endpoint. 0 means the documented
// limit, a negative number no limit (docs/protocol.md#rate-limits).
type RateLimits struct {
	List, Reserve, Job, States, Finish, Notify, Default int
	// Disabled switches all limits off, and sends no RateLimit headers.
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
	def(&c.LogMaxSizeBytes, maxLog)
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
