package simulator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// nodeOf is the step that a path names, by ID or key. It must be of the job's build.
func (s *Simulator) nodeOf(c *call, buildID string) (*node, *reply) {
	name := c.params["step"]
	n := s.stepByID[name]
	if n == nil {
		for _, keyed := range c.job.build.keys[name] {
			if keyed.key == name {
				n = keyed
			}
		}
	}
	if n == nil || n.build != c.job.build || buildID != "" && buildID != n.build.id {
		return nil, failure(http.StatusNotFound, "Step not found")
	}
	return n, nil
}

// attribute is the value that `buildkite-agent step get` prints.
func (n *node) attribute(name string) (string, bool) {
	if value, set := n.attributes[name]; set {
		return value, true
	}
	switch name {
	case "id":
		return n.id, true
	case "key":
		return n.key, true
	case "type":
		if n.gate() {
			return string(kindInput), true
		}
		return string(n.kind), true
	case "state":
		return n.stateName(), true
	case "outcome":
		return n.outcome(), true
	case "notify":
		return "", true
	}
	if name == "label" || name == "name" {
		return n.label, true
	}
	if n.step == nil {
		return "", false
	}
	switch name {
	case "command":
		return n.step.Command, true
	case "priority":
		return fmt.Sprint(n.priority), true
	}
	return "", false
}

func (n *node) stateName() string {
	switch {
	case n.omitted():
		return "ignored"
	case n.state == nodeWaiting:
		return "waiting_for_dependencies"
	case n.state == nodeDone:
		return "finished"
	case n.gate():
		return "waiting_for_input"
	case n.kind == kindTrigger:
		return "running"
	}
	for _, j := range n.current {
		if j.state.Held() {
			return "running"
		}
	}
	return "ready"
}

func (n *node) outcome() string {
	switch {
	case n.state != nodeDone || n.omitted():
		return "neutral"
	case n.canceled || n.blocked:
		return "errored"
	case n.failed:
		return "hard_failed"
	}
	for _, j := range n.current {
		if j.softFailed() {
			return "soft_failed"
		}
	}
	return "passed"
}

func (s *Simulator) exportStep(c *call) reply {
	var req struct {
		Attribute string `json:"attribute"`
		Build     string `json:"build_id"`
		Format    string `json:"format"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	n, rep := s.nodeOf(c, req.Build)
	if rep != nil {
		return *rep
	}
	if req.Attribute == "" {
		all := map[string]string{}
		for _, name := range []string{"id", "key", "type", "state", "outcome", "label", "command"} {
			if value, known := n.attribute(name); known {
				all[name] = value
			}
		}
		raw, err := json.Marshal(all)
		if err != nil {
			panic(fmt.Sprintf("simulator: encoding strings: %v", err))
		}
		return ok(map[string]any{"output": string(raw)})
	}
	value, known := n.attribute(req.Attribute)
	if !known {
		return *failure(http.StatusUnprocessableEntity, "Unknown step attribute "+req.Attribute)
	}
	if req.Format == "json" {
		raw, _ := json.Marshal(value)
		value = string(raw)
	}
	return ok(map[string]any{"output": value})
}

func (s *Simulator) updateStep(c *call) reply {
	var req struct {
		UUID      string `json:"idempotency_uuid"`
		Build     string `json:"build_id"`
		Attribute string `json:"attribute"`
		Value     string `json:"value"`
		Append    bool   `json:"append"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	n, rep := s.nodeOf(c, req.Build)
	if rep != nil {
		return *rep
	}
	switch req.Attribute {
	case "label", "name", "notify", "priority":
	default:
		return *failure(http.StatusUnprocessableEntity, "The step attribute "+req.Attribute+" can't be updated")
	}
	if req.UUID != "" && n.updates[req.UUID] {
		return ok(map[string]any{}) // a retry: appending twice would be wrong
	}
	name := req.Attribute
	if name == "name" {
		name = "label"
	}
	value := req.Value
	if req.Append {
		old, _ := n.attribute(name)
		value = old + value
	}
	if n.attributes == nil {
		n.attributes, n.updates = map[string]string{}, map[string]bool{}
	}
	n.attributes[name] = value
	n.updates[req.UUID] = true
	return ok(map[string]any{})
}

// cancelStep cancels a step's jobs. With force it ends a job whose agent hasn't finished it
// within the grace: 10 s by default, an hour at most.
func (s *Simulator) cancelStep(c *call) reply {
	var req struct {
		Build string `json:"build_id"`
		Force bool   `json:"force"`
		Grace int64  `json:"force_grace_period"`
	}
	if rep := c.decode(&req); rep != nil {
		return *rep
	}
	n, rep := s.nodeOf(c, req.Build)
	if rep != nil {
		return *rep
	}
	for _, j := range n.current {
		s.cancel(j, c.now, cause{event: "step canceled", call: c})
		if req.Force && j.state == StateCanceling {
			grace := time.Duration(min(max(cmp.Or(req.Grace, 10), 0), 3600)) * time.Second
			s.deadlines.add(c.now.Add(grace), func(now time.Time) {
				if j.state == StateCanceling {
					s.end(j, result{exitStatus: "-1", signalReason: "cancel"}, now, cause{event: "canceled by force"})
					s.touch()
				}
			})
		}
	}
	return ok(map[string]any{"uuid": n.id})
}
