package stacks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// Job is a scheduled job as the list gives it.
type Job struct {
	ID          contract.JobID
	Priority    int
	Rules       []string // agent query rules, "key=value"
	ScheduledAt time.Time
	Pipeline    string // its slug
	Build       int    // its number
	Branch      string
	Step        string // its key, often empty
}

// Before is the order in which jobs are started: the more urgent first, then the one that
// was scheduled earlier. Jobs of one upload were scheduled at one time: among them the
// list's order holds.
func Before(a, b Job) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), a.ScheduledAt.Compare(b.ScheduledAt))
}

// Page is a page of the list.
type Page struct {
	Jobs []Job
	// Next is the cursor of the page after this one, empty on the last.
	Next string
	// Paused: the queue's dispatch is paused. Nothing new should be started.
	Paused bool
	// Bad counts the entries whose ID is no UUID; they are not in Jobs.
	Bad int
}

// wireID is a job ID in a reply. If it isn't a UUID it is empty, and the rest of the
// reply still counts.
type wireID struct{ contract.JobID }

func (id *wireID) UnmarshalText(text []byte) error {
	id.JobID, _ = contract.ParseJobID(string(text))
	return nil
}

type wireJob struct {
	ID          wireID    `json:"id"`
	Priority    int       `json:"priority"`
	Rules       []string  `json:"agent_query_rules"`
	ScheduledAt time.Time `json:"scheduled_at"`
	Pipeline    struct {
		Slug string `json:"slug"`
	} `json:"pipeline"`
	Build struct {
		Number int    `json:"number"`
		Branch string `json:"branch"`
	} `json:"build"`
	Step struct {
		Key *string `json:"key"`
	} `json:"step"`
}

// ScheduledJobs lists up to limit (at most MaxBatch) scheduled jobs of the
// queue after a cursor, oldest first. Reserved jobs are not listed.
func (c *Client) ScheduledJobs(ctx context.Context, after string, limit int) (Page, error) {
	q := url.Values{"queue_key": {c.cfg.Queue}, "limit": {strconv.Itoa(min(max(limit, 1), MaxBatch))}}
	if after != "" {
		q.Set("after", after)
	}
	var out struct {
		Jobs  []wireJob `json:"jobs"`
		Queue struct {
			DispatchPaused bool `json:"dispatch_paused"`
			Paused         bool `json:"paused"`
		} `json:"cluster_queue"`
		PageInfo struct {
			HasNext bool    `json:"has_next_page"`
			Cursor  *string `json:"end_cursor"`
		} `json:"page_info"`
	}
	if err := c.do(ctx, EndpointList, http.MethodGet, c.stackPath("/scheduled-jobs?"+q.Encode()), nil, &out); err != nil {
		return Page{}, err
	}
	p := Page{Jobs: make([]Job, 0, len(out.Jobs)), Paused: out.Queue.DispatchPaused || out.Queue.Paused}
	if out.PageInfo.HasNext && out.PageInfo.Cursor != nil && *out.PageInfo.Cursor != after {
		p.Next = *out.PageInfo.Cursor
	}
	for _, j := range out.Jobs {
		if j.ID.JobID == "" {
			p.Bad++
			continue
		}
		job := Job{ID: j.ID.JobID, Priority: j.Priority, Rules: j.Rules, ScheduledAt: j.ScheduledAt,
			Pipeline: contract.Line(j.Pipeline.Slug, contract.MaxName), Build: j.Build.Number, Branch: contract.Line(j.Build.Branch, contract.MaxName)}
		if j.Step.Key != nil {
			job.Step = contract.Line(*j.Step.Key, contract.MaxName)
		}
		p.Jobs = append(p.Jobs, job)
	}
	return p, nil
}

// ScheduledJob looks for a job in the whole list; listed is false if it isn't
// there.
func (c *Client) ScheduledJob(ctx context.Context, id contract.JobID) (job Job, listed bool, err error) {
	for cursor := ""; ; {
		page, err := c.ScheduledJobs(ctx, cursor, MaxBatch)
		if err != nil {
			return Job{}, false, err
		}
		for _, j := range page.Jobs {
			if j.ID == id {
				return j, true, nil
			}
		}
		if cursor = page.Next; cursor == "" {
			return Job{}, false, nil
		}
	}
}

type uuids struct {
	JobUUIDs []contract.JobID `json:"job_uuids"`
	Expiry   int              `json:"reservation_expiry_seconds,omitempty"`
}

const reservePath = "/scheduled-jobs/batch-reserve"

// reserved is the reply to a reservation.
type reserved struct {
	Reserved []wireID `json:"reserved"`
}

func (r reserved) jobs() (ids []contract.JobID) {
	for _, id := range r.Reserved {
		if id.JobID != "" {
			ids = append(ids, id.JobID)
		}
	}
	return ids
}

// lengths are the times that reservations name, each longer than the one before it: as
// long as the caller asks; where Buildkite refuses so short a time, these; and at last
// none, which is a quarter of an hour (docs/protocol.md#reservation). Nobody knows which
// is the shortest, and a scheduler that dies holds its reserved jobs up for that long.
var lengths = [...]time.Duration{1: time.Minute, 5 * time.Minute, 0}

// unnamed is where Buildkite chooses.
const unnamed = int32(len(lengths) - 1)

// reservation is the request for one of the lengths.
func reservation(ids []contract.JobID, expiry time.Duration, length int32) uuids {
	if length == unnamed {
		return uuids{JobUUIDs: ids}
	}
	return uuids{JobUUIDs: ids, Expiry: max(1, int(max(expiry, lengths[length])/time.Second))}
}

// Reserve holds jobs for this stack for the given time (whole seconds, at most an
// hour), or prolongs their reservation. It returns those that are held now. More than
// MaxBatch jobs take several calls; if one of them fails, the jobs that the others
// reserved are returned beside the error. A call whose reply is lost may have reserved
// jobs; that expires by itself. If Buildkite refuses so short a time, it is asked for
// longer ones at once, and later calls begin with the one that it took.
func (c *Client) Reserve(ctx context.Context, ids []contract.JobID, expiry time.Duration) ([]contract.JobID, error) {
	var got []contract.JobID
	for chunk := range slices.Chunk(ids, MaxBatch) {
		var out reserved
		err := c.reserveFor(chunk, expiry, func(in uuids) error {
			out = reserved{}
			return c.do(ctx, EndpointReserve, http.MethodPut, c.stackPath(reservePath), in, &out)
		})
		if err != nil {
			return got, err
		}
		got = append(got, out.jobs()...)
	}
	return got, nil
}

// reserveFor sends a reservation, and longer ones while Buildkite refuses it.
func (c *Client) reserveFor(ids []contract.JobID, expiry time.Duration, send func(uuids) error) (err error) {
	first := c.length.Load()
	for length := first; length <= unnamed; length++ {
		if length > first && length < unnamed && lengths[length] <= expiry {
			continue // no longer than the one that was refused
		}
		if err = send(reservation(ids, expiry, length)); err == nil && length > first {
			c.length.Store(length)
		}
		if !errors.Is(err, ErrInvalid) {
			break
		}
	}
	return err
}

// TryReserve is Reserve for one job and for callers that must not wait. If no request may
// be sent now, it sends none and returns when to come again.
func (c *Client) TryReserve(ctx context.Context, id contract.JobID, expiry time.Duration) (got []contract.JobID, again time.Duration, err error) {
	release, again := c.gates[EndpointReserve].try()
	if again > 0 {
		return nil, again, nil
	}
	defer release()
	var out reserved
	err = c.reserveFor([]contract.JobID{id}, expiry, func(in uuids) error {
		body, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encoding %s: %w", EndpointReserve, err)
		}
		out = reserved{}
		return c.send(ctx, c.gates[EndpointReserve], EndpointReserve, http.MethodPut, c.stackPath(reservePath), body, &out)
	})
	return out.jobs(), 0, err
}

type jobReply struct {
	Env map[string]string `json:"env"`
}

func (c *Client) jobPath(id contract.JobID) string { return c.stackPath("/jobs/" + id.String()) }

// Env asks for a job's environment, which the list leaves out.
func (c *Client) Env(ctx context.Context, id contract.JobID) (map[string]string, error) {
	var out jobReply
	err := c.do(ctx, EndpointJob, http.MethodGet, c.jobPath(id), nil, &out)
	return out.Env, err
}

// TryEnv is Env for callers that must not wait. If no request may be sent now, it sends
// none and returns when to come again.
func (c *Client) TryEnv(ctx context.Context, id contract.JobID) (env map[string]string, again time.Duration, err error) {
	release, again := c.gates[EndpointJob].try()
	if again > 0 {
		return nil, again, nil
	}
	defer release()
	var out jobReply
	err = c.send(ctx, c.gates[EndpointJob], EndpointJob, http.MethodGet, c.jobPath(id), nil, &out)
	return out.Env, 0, err
}

// TryFinish ends a job with an exit status (0 too) and a detail for its page (cut to
// MaxDetail). Buildkite accepts it once for a job, with signal_reason stack_error.
// ErrInvalid or ErrNotFound means that the job is not ours to finish, or is over.
//
// It doesn't wait. If no request may be sent now, it sends none and returns when to
// come again. A finish that has failed before (repeated) waits only for others of its
// kind: a job whose finish Buildkite can't accept doesn't delay the first finish of
// another. After an answer without a body it asks for the job's state: if that doesn't
// show the finish, it is ErrUnavailable.
func (c *Client) TryFinish(ctx context.Context, id contract.JobID, exitStatus int, detail string, repeated bool) (again time.Duration, err error) {
	in := struct {
		ExitStatus int    `json:"exit_status"`
		Detail     string `json:"detail"`
	}{exitStatus, contract.Line(detail, MaxDetail)}
	body, err := json.Marshal(in)
	if err != nil {
		return 0, fmt.Errorf("encoding %s: %w", EndpointFinish, err)
	}
	g := c.gates[EndpointFinish]
	if repeated {
		g = c.finishAgain
	}
	release, again := g.try()
	if again > 0 {
		return again, nil
	}
	defer release()
	err = c.send(ctx, g, EndpointFinish, http.MethodPost, c.stackPath("/jobs/"+id.String()+"/finish"), body, nil)
	if err == nil || errors.Is(err, errBare) && c.isOver(ctx, id) {
		return 0, nil
	}
	return 0, fmt.Errorf("finishing job %s: %w", id, err)
}
