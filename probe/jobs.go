package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/jitter"
)

const (
	lookEvery = 2 * time.Second
	maxPages  = 5
)

// job is a job of the probe's pipeline, as the probe saw it last.
type job struct {
	id     contract.JobID
	name   string // of its step, without the prefix
	build  string // its pipeline and number
	rules  []string
	state  contract.JobState
	listed bool
	// cameAt is when the job appeared on the list, leftAt when it disappeared; the last time
	// of each.
	cameAt, leftAt time.Time
}

// jobs are all jobs of the run that were ever listed. All questions read them; watch keeps
// them current. Safe for concurrent use.
type jobs struct {
	mu    sync.Mutex
	byID  map[contract.JobID]*job
	order []contract.JobID // in which they appeared
	build string           // of the first job: named ignores jobs of other builds
}

// named are the jobs of a step in the order in which they appeared: the first one and its
// retries.
func (j *jobs) named(name string) (out []job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range j.order {
		if one := j.byID[id]; one.name == name && one.build == j.build {
			out = append(out, *one)
		}
	}
	return out
}

func (j *jobs) get(id contract.JobID) job {
	j.mu.Lock()
	defer j.mu.Unlock()
	if one := j.byID[id]; one != nil {
		return *one
	}
	return job{}
}

func (j *jobs) all() (out []job) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, id := range j.order {
		out = append(out, *j.byID[id])
	}
	return out
}

// listedJob is an entry of the list.
type listedJob struct {
	ID       string   `json:"id"`
	Rules    []string `json:"agent_query_rules"`
	Pipeline struct {
		Slug string `json:"slug"`
	} `json:"pipeline"`
	Build struct {
		Number int `json:"number"`
	} `json:"build"`
	Step struct {
		Key string `json:"key"`
	} `json:"step"`
}

// listing notes the jobs that are listed now, and returns how many are not the run's.
func (j *jobs) listing(listed []listedJob, mark string, at time.Time) (strangers int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	now := map[contract.JobID]bool{}
	for _, l := range listed {
		id, err := contract.ParseJobID(l.ID)
		name, own := nameOf(l, mark)
		if err != nil || !own {
			strangers++
			continue
		}
		now[id] = true
		one := j.byID[id]
		if one == nil {
			one = &job{id: id, name: name, build: fmt.Sprintf("%s #%d", l.Pipeline.Slug, l.Build.Number), rules: l.Rules, state: contract.JobScheduled}
			j.byID[id] = one
			j.order = append(j.order, id)
			if j.build == "" {
				j.build = one.build
			}
		}
		if !one.listed {
			one.listed, one.cameAt = true, at
		}
	}
	for id, one := range j.byID {
		if one.listed && !now[id] {
			one.listed, one.leftAt = false, at
		}
	}
	return strangers
}

// nameOf is the name of a listed job's step; own says whether the job is this run's.
func nameOf(l listedJob, mark string) (name string, own bool) {
	name, own = strings.CutPrefix(l.Step.Key, keyPrefix(mark))
	return name, own && slices.Contains(l.Rules, ruleOf(mark))
}

func (j *jobs) states(states map[string]contract.JobState) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for text, state := range states {
		id, err := contract.ParseJobID(text)
		if one := j.byID[id]; err == nil && one != nil {
			one.state = state
		}
	}
}

// list reads the queue as a stack sees it.
func (p *prober) list(ctx context.Context, stack string) (listed []listedJob, got answer, err error) {
	for cursor, pages := "", 0; pages < maxPages; pages++ {
		q := url.Values{"queue_key": {p.Queue}, "limit": {"1000"}}
		if cursor != "" {
			q.Set("after", cursor)
		}
		got, err = p.call(ctx, request{method: http.MethodGet, path: "stacks/" + stack + "/scheduled-jobs?" + q.Encode(), again: true})
		if err != nil || !got.ok() {
			return nil, got, err
		}
		var page struct {
			Jobs     []listedJob `json:"jobs"`
			PageInfo struct {
				More   bool   `json:"has_next_page"`
				Cursor string `json:"end_cursor"`
			} `json:"page_info"`
		}
		if err := json.Unmarshal(got.body, &page); err != nil {
			return nil, got, fmt.Errorf("reading the list: %w", err)
		}
		listed = append(listed, page.Jobs...)
		if cursor = page.PageInfo.Cursor; !page.PageInfo.More || cursor == "" {
			break
		}
	}
	return listed, got, nil
}

// statesOf asks for the states of jobs.
func (p *prober) statesOf(ctx context.Context, ids ...contract.JobID) (map[string]contract.JobState, answer, error) {
	got, err := p.call(ctx, request{method: http.MethodPost, path: "stacks/" + p.stack + "/jobs/get-states", again: true,
		body: map[string]any{"job_uuids": ids}})
	if err != nil || !got.ok() {
		return nil, got, err
	}
	var reply struct {
		States map[string]contract.JobState `json:"states"`
	}
	if err := json.Unmarshal(got.body, &reply); err != nil {
		return nil, got, fmt.Errorf("reading the states: %w", err)
	}
	return reply.States, got, nil
}

// look reads the queue's list and the states of the run's jobs that haven't ended. strangers
// is how many listed jobs are not the run's.
func (p *prober) look(ctx context.Context) (strangers int, err error) {
	listed, got, err := p.list(ctx, p.stack)
	if err == nil && !got.ok() {
		err = fmt.Errorf("listing the queue %s: %s", p.Queue, got)
	}
	if err != nil {
		return 0, err
	}
	strangers = p.jobs.listing(listed, p.Mark, time.Now())
	var ids []contract.JobID
	for _, j := range p.jobs.all() {
		if !j.state.Over() {
			ids = append(ids, j.id)
		}
	}
	if len(ids) == 0 {
		return strangers, nil
	}
	states, _, err := p.statesOf(ctx, ids...)
	p.jobs.states(states)
	return strangers, err
}

// watch calls look every lookEvery until ctx ends.
func (p *prober) watch(ctx context.Context) {
	for jitter.Sleep(ctx, lookEvery) {
		if _, err := p.look(ctx); err != nil && ctx.Err() == nil {
			p.say("reading the queue: " + err.Error())
		}
	}
}

// until waits until shown is true, or for limit, or until ctx ends. It reports whether shown
// was true.
func (p *prober) until(ctx context.Context, limit time.Duration, shown func() bool) bool {
	for end := time.Now().Add(limit); ; {
		if shown() {
			return true
		}
		if !time.Now().Before(end) || !jitter.Sleep(ctx, lookEvery/4) {
			return false
		}
	}
}
