package simulator

import (
	"cmp"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// The states of a session.
const (
	agentRegistered   = "registered"
	agentConnected    = "connected"
	agentStopping     = "stopping"
	agentDisconnected = "disconnected"
	agentLost         = "lost"
)

// agent is one session, which one register made.
type agent struct {
	id, name, token string
	hostname        string
	version         string
	tags            []string
	queue           string
	acquiring       bool // ignore_in_dispatches
	state           string
	paused          bool
	pauseNote       string
	seen            time.Time
	job             *job // the job that it holds
}

// over reports whether the session has ended by a disconnect. A lost agent is not over:
// Profile.LostAgent says whether a heartbeat brings it back.
func (a *agent) over() bool { return a.state == agentDisconnected }

// away reports whether the agent has disconnected or is lost.
func (a *agent) away() bool { return a.over() || a.state == agentLost }

// Agent is a snapshot of one session.
type Agent struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Queue    string    `json:"queue"`
	Tags     []string  `json:"tags"`
	Version  string    `json:"version"`
	Hostname string    `json:"hostname"`
	JobID    string    `json:"job_id,omitempty"`
	Paused   bool      `json:"paused,omitempty"`
	LastSeen time.Time `json:"last_seen"`
}

func (a *agent) snapshot() Agent {
	out := Agent{ID: a.id, Name: a.name, State: a.state, Queue: a.queue, Tags: a.tags, Version: a.version,
		Hostname: a.hostname, Paused: a.paused, LastSeen: a.seen}
	if a.job != nil {
		out.JobID = a.job.id
	}
	return out
}

// Agents returns all sessions there ever were, oldest first.
func (s *Simulator) Agents() []Agent {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Agent, 0, len(s.agents))
	for _, a := range s.agents {
		out = append(out, a.snapshot())
	}
	slices.SortFunc(out, func(a, b Agent) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// Agent returns one session.
func (s *Simulator) Agent(id string) (Agent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.agents[id]
	if a == nil {
		return Agent{}, false
	}
	return a.snapshot(), true
}

// register makes a session (docs/protocol.md#register).
func (s *Simulator) register(c *call) reply {
	var req struct {
		Name               string   `json:"name"`
		Hostname           string   `json:"hostname"`
		Version            string   `json:"version"`
		IgnoreInDispatches bool     `json:"ignore_in_dispatches"`
		Tags               []string `json:"meta_data"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	a := &agent{
		id: s.newID(), name: cmp.Or(req.Name, req.Hostname, "agent"), hostname: req.Hostname, version: req.Version,
		token: s.newToken("sim-session-"), tags: req.Tags, queue: defaultQueue,
		acquiring: req.IgnoreInDispatches, state: agentRegistered, seen: c.now,
	}
	if a.tags == nil {
		a.tags = []string{}
	}
	for _, tag := range a.tags {
		if key, value, _ := strings.Cut(tag, "="); key == "queue" {
			a.queue = value // a name is no alias here
		}
	}
	if !s.queueKnown(a.queue) {
		fallback := s.conf.Profile.RegisterUnknownQueue == assumptions.RegisterUnknownQueueDefaultQueue
		if !fallback || !s.queueKnown(defaultQueue) {
			return *failure(http.StatusUnprocessableEntity, "There is no queue "+a.queue)
		}
		a.queue = defaultQueue
	}
	s.agents[a.id], s.sessions[a.token] = a, a
	c.agent = a
	s.watch(a)

	body := map[string]any{
		"id":                  a.id,
		"name":                a.name,
		"access_token":        a.token,
		"endpoint":            "",
		"request_headers":     nil,
		"ping_interval":       s.conf.PingInterval,
		"job_status_interval": s.conf.JobStatusInterval,
		"heartbeat_interval":  s.conf.HeartbeatInterval,
		"meta_data":           a.tags,
	}
	if s.conf.RegisterReply != nil {
		s.conf.RegisterReply(body)
	}
	return ok(body)
}

// queueKnown reports whether Config.Queues allows a queue, by its key: register takes no
// other name of the default queue.
func (s *Simulator) queueKnown(key string) bool {
	return len(s.conf.Queues) == 0 || slices.ContainsFunc(s.conf.Queues, func(q string) bool { return queueKey(q) == key })
}

// watch loses the agent after HeartbeatTimeout of silence, or up to a third of that later,
// because Buildkite looks once a minute. Each agent has one deadline; a heartbeat only moves
// a.seen.
func (s *Simulator) watch(a *agent) {
	timeout := s.patience(a)
	s.deadlines.add(a.seen.Add(timeout), func(now time.Time) {
		switch {
		case a.away():
		case now.Sub(a.seen) < timeout:
			s.watch(a)
		default:
			s.lose(a, agentLost, now, nil)
			s.touch()
		}
	})
}

// patience is how long the agent may be silent.
func (s *Simulator) patience(a *agent) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(a.id)) // it never fails
	timeout := s.conf.HeartbeatTimeout
	return timeout + time.Duration(float64(timeout/3)*float64(h.Sum32())/(1<<32))
}

// alive notes a connect or a heartbeat. It brings back an agent that was lost; the token of
// the agent's job stays refused.
func (s *Simulator) alive(a *agent, now time.Time) {
	a.seen = now
	if a.state == agentLost {
		a.state = agentConnected
		s.watch(a)
	}
}

func (s *Simulator) connect(c *call) reply {
	if c.agent.state == agentRegistered {
		c.agent.state = agentConnected
	}
	s.alive(c.agent, c.now)
	return ok(map[string]any{})
}

func (s *Simulator) heartbeat(c *call) reply {
	var req struct {
		SentAt string `json:"sent_at"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	s.alive(c.agent, c.now)
	return ok(map[string]any{"sent_at": req.SentAt, "received_at": c.now.UTC().Format(time.RFC3339Nano)})
}

// ping answers with the agent's next action. It dispatches a job to an agent that takes
// dispatched work.
func (s *Simulator) ping(c *call) reply {
	a := c.agent
	switch {
	case a.paused:
		return ok(map[string]any{"action": "pause", "message": a.pauseNote})
	case a.state == agentStopping && a.job == nil:
		return ok(map[string]any{"action": "disconnect", "message": "The agent was stopped"})
	case a.acquiring || a.state != agentConnected:
		return ok(map[string]any{"action": "idle"})
	}
	if a.job == nil {
		if j := s.nextFor(a); j != nil {
			j.agent, a.job = a, j
			s.setState(j, StateAssigned, c.now, cause{event: "dispatched", call: c})
		}
	}
	if a.job != nil && a.job.state == StateAssigned {
		return ok(map[string]any{"job": map[string]any{"id": a.job.id, "state": a.job.state}})
	}
	return ok(map[string]any{"action": "idle"})
}

func (s *Simulator) stop(c *call) reply {
	var req struct {
		Force bool `json:"force"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	if !c.agent.over() {
		c.agent.state = agentStopping
	}
	if req.Force && c.agent.job != nil {
		s.cancel(c.agent.job, c.now, cause{event: "agent stopped by force", call: c})
	}
	return ok(map[string]any{})
}

func (s *Simulator) pause(c *call) reply {
	var req struct {
		Note             string `json:"note"`
		TimeoutInMinutes int    `json:"timeout_in_minutes"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	a := c.agent
	if a.paused {
		return *failure(http.StatusUnprocessableEntity, "The agent is already paused")
	}
	a.paused, a.pauseNote = true, req.Note
	if req.TimeoutInMinutes > 0 {
		s.deadlines.add(c.now.Add(time.Duration(req.TimeoutInMinutes)*time.Minute), func(time.Time) { a.paused = false })
	}
	return ok(map[string]any{})
}

func (s *Simulator) resume(c *call) reply {
	c.agent.paused = false
	return ok(map[string]any{})
}

// PauseAgent makes an agent's pings answer "pause", ResumeAgent ends that.
func (s *Simulator) PauseAgent(id string) error { return s.setPaused(id, true) }

// ResumeAgent undoes PauseAgent.
func (s *Simulator) ResumeAgent(id string) error { return s.setPaused(id, false) }

func (s *Simulator) setPaused(id string, paused bool) error {
	return s.lockedWrite(func(time.Time) error {
		a := s.agents[id]
		if a == nil {
			return notFound("agent", id)
		}
		a.paused = paused
		return nil
	})
}
