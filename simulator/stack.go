package simulator

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// stackSilence is how long a stack may be silent before it is lost. Buildkite takes five to
// six minutes (docs/protocol.md#stacks).
const stackSilence = 330 * time.Second

// maxBatch is the largest number of IDs or notifications in one call.
const maxBatch = 1000

var stackKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// stack is a registered scheduler.
type stack struct {
	id, key, kind string
	queue         string
	metadata      map[string]string
	state         string // connected, lost or disconnected
	connectedAt   time.Time
	seen          time.Time
	windows       map[string]*window
}

// Stack is a snapshot of a registered scheduler.
type Stack struct {
	ID          string            `json:"id"`
	Key         string            `json:"key"`
	Type        string            `json:"type"`
	Queue       string            `json:"queue"`
	Metadata    map[string]string `json:"metadata"`
	State       string            `json:"state"`
	ConnectedAt time.Time         `json:"connected_at"`
}

// Stacks returns all stacks that ever registered, sorted by key.
func (s *Simulator) Stacks() []Stack {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Stack{}
	for _, key := range slices.Sorted(maps.Keys(s.stacks)) {
		st := s.stacks[key]
		st.look(s.now())
		out = append(out, Stack{st.id, st.key, st.kind, st.queue, maps.Clone(st.metadata), st.state, st.connectedAt})
	}
	return out
}

// registerStack is idempotent: 201 for a new key, 200 for a known one.
func (s *Simulator) registerStack(c *call) reply {
	var req struct {
		Key      string            `json:"key"`
		Type     string            `json:"type"`
		QueueKey string            `json:"queue_key"`
		Metadata map[string]string `json:"metadata"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	invalid := func(message string) reply { return *failure(http.StatusUnprocessableEntity, message) }
	switch {
	case !stackKey.MatchString(req.Key):
		return invalid("key must be 1 to 80 letters, digits, underscores and dashes")
	case !slices.Contains([]string{"kubernetes", "elastic", "custom"}, req.Type):
		return invalid("type must be kubernetes, elastic or custom")
	case req.QueueKey == "":
		return invalid("queue_key is required")
	case req.Metadata == nil:
		return invalid("metadata is required")
	case len(req.Metadata) > 100:
		return invalid("metadata can't have more than 100 keys")
	}
	for key, value := range req.Metadata {
		if len(key) > 64 || len(value) > 256 {
			return invalid("metadata keys are limited to 64 characters and values to 256")
		}
	}
	if !s.queueExists(req.QueueKey) {
		return *failure(http.StatusNotFound, "Queue not found")
	}

	st := s.stacks[req.Key]
	status := http.StatusOK
	if st == nil {
		st = &stack{id: s.newID(), key: req.Key, windows: map[string]*window{}}
		status = http.StatusCreated
	}
	return s.limited(c, st, "default", s.conf.RateLimits.Default, func() reply {
		if st.state != "connected" && s.conf.MaxStacks >= 0 && s.stacksBut(st, c.now) >= s.conf.MaxStacks {
			return *failure(http.StatusForbidden, "The organization has reached its limit of stacks")
		}
		s.stacks[st.key] = st
		st.kind, st.queue, st.metadata = req.Type, queueKey(req.QueueKey), req.Metadata
		st.state, st.connectedAt, st.seen = "connected", c.now, c.now
		s.queue(st.queue)
		return reply{status: status, body: map[string]any{
			"id": st.id, "organization_uuid": s.orgID, "cluster_queue_key": st.queue, "key": st.key,
			"type": st.kind, "metadata": maps.Clone(st.metadata), "state": st.state,
			"last_connected_on": c.now.UTC().Format(time.RFC3339Nano),
		}}
	})
}

// stacksBut counts the other stacks that count against the limit, by Profile.StackLimit.
func (s *Simulator) stacksBut(one *stack, now time.Time) int {
	n := 0
	for _, st := range s.stacks {
		st.look(now)
		if st != one && (st.state == "connected" || s.conf.Profile.StackLimit == assumptions.StackLimitCreated) {
			n++
		}
	}
	return n
}

// look marks a stack as lost if it was silent for stackSilence.
func (st *stack) look(now time.Time) {
	if st.state == "connected" && now.Sub(st.seen) >= stackSilence {
		st.state = "lost"
	}
}

// stack finds the stack of the path. A deregistered stack is 404 until it registers again, and
// so is a lost one if Profile.LostStack says so.
func (s *Simulator) stack(c *call) (*stack, *reply) {
	st := s.stacks[c.params["stack"]]
	if st != nil {
		st.look(c.now)
	}
	lost := st != nil && st.state == "lost" && s.conf.Profile.LostStack == assumptions.LostStackNotFound
	if st == nil || st.state == "disconnected" || lost {
		return nil, failure(http.StatusNotFound, "Stack not found")
	}
	st.state, st.seen = "connected", c.now
	return st, nil
}

func (s *Simulator) deregisterStack(c *call) reply {
	st := s.stacks[c.params["stack"]]
	if st == nil {
		return *failure(http.StatusNotFound, "Stack not found")
	}
	return s.limited(c, st, "default", s.conf.RateLimits.Default, func() reply {
		st.state = "disconnected"
		return reply{status: http.StatusNoContent}
	})
}

func (s *Simulator) listScheduled(c *call) reply {
	st, rep := s.stack(c)
	if rep != nil {
		return *rep
	}
	return s.limited(c, st, "list-scheduled-jobs", s.conf.RateLimits.List, func() reply {
		query := c.r.URL.Query()
		limit := 100
		if text := query.Get("limit"); text != "" {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 {
				return *failure(http.StatusBadRequest, "limit must be a positive integer")
			}
			limit = min(n, maxBatch)
		}
		order, err := decodeCursor(query.Get("after"))
		if err != nil {
			return *failure(http.StatusBadRequest, err.Error())
		}
		if query.Get("queue_key") == "" {
			return *failure(http.StatusBadRequest, "queue_key is required")
		}
		if !s.queueExists(query.Get("queue_key")) {
			return *failure(http.StatusNotFound, "Queue not found")
		}
		q := s.queue(query.Get("queue_key"))
		if s.conf.ListLag == 0 {
			q.sweep()
		}
		page, more := q.after(order, limit, s.shown(c.now))
		jobs := make([]any, len(page))
		for i, j := range page {
			jobs[i] = s.scheduledJob(j)
		}
		var cursor any
		if len(page) > 0 {
			cursor = encodeCursor(page[len(page)-1].order)
		}
		return ok(map[string]any{
			"jobs":          jobs,
			"cluster_queue": map[string]any{"id": q.id, "dispatch_paused": q.paused, "paused": q.paused},
			"page_info":     map[string]any{"has_next_page": more, "end_cursor": cursor},
		})
	})
}

func (s *Simulator) scheduledJob(j *job) map[string]any {
	var key any
	if j.node.key != "" {
		key = j.node.key
	}
	b := j.build
	return map[string]any{
		"id": j.id, "priority": j.priority, "agent_query_rules": s.listedRules(j),
		"scheduled_at": j.scheduledAt.UTC().Format("2006-01-02T15:04:05.000Z"),
		"pipeline":     map[string]any{"slug": b.request.Slug, "uuid": b.pipelineID},
		"build":        map[string]any{"uuid": b.id, "number": b.number, "branch": b.request.Branch},
		"step":         map[string]any{"key": key},
	}
}

// listedRules are a job's rules in the form that the Profile gives them in the list.
func (s *Simulator) listedRules(j *job) []string {
	rules := slices.Clone(j.rules)
	for i, rule := range rules {
		if strings.HasSuffix(rule, "=") && s.conf.Profile.AnyValueRule == assumptions.AnyValueRuleStar {
			rules[i] += "*"
		}
	}
	named := slices.ContainsFunc(rules, func(rule string) bool { return strings.HasPrefix(rule, "queue=") })
	if !named && s.conf.Profile.DefaultQueueRule == assumptions.DefaultQueueRuleNamed {
		rules = append([]string{"queue=" + j.queue.key}, rules...)
	}
	return rules
}

// jobUUIDs reads the body into into and checks ids, the list of jobs in it.
func (c *call) jobUUIDs(into any, ids *[]string) *reply {
	if rep := c.decode(into); rep != nil {
		return rep
	}
	if *ids == nil {
		return failure(http.StatusBadRequest, "job_uuids must be an array")
	}
	if len(*ids) > maxBatch {
		return failure(http.StatusBadRequest, "job_uuids can't have more than 1000 items")
	}
	return nil
}

func (s *Simulator) jobStates(c *call) reply {
	st, rep := s.stack(c)
	if rep != nil {
		return *rep
	}
	return s.limited(c, st, "batch-load-job-states", s.conf.RateLimits.States, func() reply {
		var req struct {
			JobUUIDs []string `json:"job_uuids"`
		}
		if rep := c.jobUUIDs(&req, &req.JobUUIDs); rep != nil {
			return *rep
		}
		states := map[string]any{}
		for _, id := range req.JobUUIDs {
			var state JobState
			if j := s.jobs[id]; j != nil {
				state = s.stateSeen(j, c.now)
			}
			switch unknown := s.conf.Profile.UnknownJobState; {
			case state != "":
				states[id] = state
			case unknown == assumptions.UnknownJobStateNull:
				states[id] = nil
			case unknown == assumptions.UnknownJobStateRefused:
				return *failure(http.StatusUnprocessableEntity, "There is no job "+id)
			}
		}
		return ok(map[string]any{"states": states})
	})
}

func (s *Simulator) stackJob(c *call) reply {
	st, rep := s.stack(c)
	if rep != nil {
		return *rep
	}
	return s.limited(c, st, "show-job", s.conf.RateLimits.Job, func() reply {
		j := s.jobs[c.jobID]
		if j == nil {
			return *failure(http.StatusNotFound, "Job not found")
		}
		return ok(map[string]any{"id": j.id, "env": s.jobEnv(j), "command": j.step.Command})
	})
}
