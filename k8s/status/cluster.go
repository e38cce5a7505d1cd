package status

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Cluster is what one replica knows at one moment. Its texts are printable.
type Cluster struct {
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	// Replica is this one's name in the Lease, and Leader that of the one that leads;
	// both are empty without a Lease.
	Replica string `json:"replica"`
	Leader  string `json:"leader"`
	Leads   bool   `json:"leads"`
	// Since is when this replica began to lead: losses before that are not known.
	Since time.Time `json:"leads_since,omitzero"`
	// NotReady are the lines of /readyz.
	NotReady []string `json:"not_ready"`
	Queues   []Queue  `json:"queues"`
	// Losses are the last attempts that were lost, the newest first.
	Losses []Loss `json:"losses"`

	// Jobs are all of them, in the order in which they are shown.
	Jobs []*Job `json:"-"`
}

// The states of a queue.
const (
	Ready    = "ready"
	Paused   = "paused"
	Stopped  = "stopped"
	Starting = "starting"
	Standby  = "standby"
)

// Queue is one queue. Of one that isn't served here only its name, namespace and state
// are known.
type Queue struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	State     string `json:"state"`
	Why       string `json:"why,omitempty"`
	// Held are the slots in use, and Max how many there are, 0 for no limit.
	Held int `json:"slots_held"`
	Max  int `json:"slots_max"`
	// Waiting are the jobs that could be started if there were room, Listed all that
	// Buildkite lists, Unmatched those of them whose tags no queue has, and Retries the
	// jobs that wait for another attempt.
	Waiting       int       `json:"waiting"`
	Listed        int       `json:"listed"`
	Unmatched     int       `json:"unmatched"`
	Retries       int       `json:"retries"`
	OldestSeconds float64   `json:"oldest_wait_seconds"`
	LookedAt      time.Time `json:"looked_at,omitzero"`
	// WarmWanted and WarmRunning count placeholders.
	WarmWanted  int       `json:"warm_wanted"`
	WarmRunning int       `json:"warm_running"`
	Pending     []Pending `json:"pending"`
}

// Pending are jobs that hold a slot and have not started, by where they are, as in
// onejob_jobs_pending.
type Pending struct {
	Phase         string  `json:"phase"`
	Reason        string  `json:"reason"`
	Jobs          int     `json:"jobs"`
	OldestSeconds float64 `json:"oldest_seconds"`
}

// Job is a job that waits, or the Kubernetes Job of an attempt.
type Job struct {
	ID       contract.JobID `json:"job_id"`
	Queue    string         `json:"queue"`
	Attempt  int            `json:"attempt,omitempty"`
	Pipeline string         `json:"pipeline,omitempty"`
	Build    int            `json:"build,omitempty"`
	Branch   string         `json:"branch,omitempty"`
	Step     string         `json:"step,omitempty"`
	// Phase is one of Phases.
	Phase  string `json:"phase"`
	Reason string `json:"reason,omitempty"`
	// Since is when that began, as far as is known.
	Since time.Time `json:"since,omitzero"`
	Node  string    `json:"node,omitempty"`
	// URL is the job's page at Buildkite, empty if it isn't known.
	URL string `json:"url,omitempty"`
}

// Loss is an attempt whose pod was lost.
type Loss struct {
	At      time.Time      `json:"at"`
	Queue   string         `json:"queue"`
	ID      contract.JobID `json:"job_id"`
	Attempt int            `json:"attempt"`
	Reason  string         `json:"reason"`
	// Action is what came of it, as in onejob_decisions_total.
	Action string `json:"action"`
	Text   string `json:"text"`
	URL    string `json:"url,omitempty"`
}
