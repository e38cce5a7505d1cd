package simulator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// maxTriggers is the longest chain of builds in which each triggers the next.
const maxTriggers = 10

// fire starts the builds of a trigger step. A step whose pipeline isn't in Config.Downstream
// passes without a build, with a note and a warning.
func (s *Simulator) fire(n *node, now time.Time) {
	if n.state != nodeOpen {
		return // canceled meanwhile
	}
	t := n.trigger
	source, given := s.conf.Downstream[t.slug]
	if !given {
		n.note = fmt.Sprintf("no build: the pipeline %q wasn't given", t.slug)
		s.warn(n.build, fmt.Sprintf("trigger: the pipeline %q wasn't given, so the step passed without a build", t.slug))
		s.advance(n.build, n.done(false), now)
		return
	}
	for i := range max(t.parallelism, 1) {
		child, err := s.createBuild(n.triggeredRequest(source, i), n, now)
		if err != nil {
			n.note = err.Error()
			s.warn(n.build, fmt.Sprintf("trigger: no build of %q: %v", t.slug, err))
			s.advance(n.build, n.done(!t.soft), now)
			return
		}
		n.triggered = append(n.triggered, child)
	}
	if t.async {
		s.advance(n.build, n.done(false), now)
		return
	}
	s.triggeredEnded(n, now)
}

func (n *node) triggeredRequest(source []byte, index int) BuildRequest {
	t, from := n.trigger, n.build.request
	req := BuildRequest{
		Pipeline: source, Slug: t.slug, Repo: from.Repo, Queue: from.Queue, Branch: cmp.Or(t.branch, defaultBranch), Commit: t.commit,
		Message: cmp.Or(t.message, n.label), Env: maps.Clone(t.env), Interpolate: from.Interpolate, ChangedFiles: from.ChangedFiles, MetaData: t.metaData,
	}
	if t.parallelism > 0 {
		if req.Env == nil {
			req.Env = map[string]string{}
		}
		req.Env["BUILDKITE_PARALLEL_JOB"] = strconv.Itoa(index)
		req.Env["BUILDKITE_PARALLEL_JOB_COUNT"] = strconv.Itoa(t.parallelism)
	}
	return req
}

// depth is the number of builds in the chain of triggers before this one.
func (b *build) depth() int {
	depth := 0
	for by := b.triggeredBy; by != nil; by = by.build.triggeredBy {
		depth++
	}
	return depth
}

// triggeredEnded closes a trigger step once all its builds have ended. A build
// that is blocked counts as its blocked_state says.
func (s *Simulator) triggeredEnded(n *node, now time.Time) {
	if n.state != nodeOpen {
		return
	}
	failed := false
	for _, child := range n.triggered {
		switch state := child.state(); {
		case state == BuildPassed || state == BuildNotRun:
		case state == BuildFailed || state == BuildCanceled:
			failed = true
		case state == BuildBlocked && child.blockedState() == BuildPassed:
		default:
			return
		}
	}
	s.advance(n.build, n.done(failed && !n.trigger.soft), now)
}

// announce updates the trigger step of a build that has ended or is blocked.
func (s *Simulator) announce(b *build) {
	if by := b.triggeredBy; by != nil && !by.trigger.async && slices.Contains([]string{BuildPassed, BuildNotRun, BuildFailed, BuildCanceled, BuildBlocked}, b.state()) {
		s.later(func(now time.Time) { s.triggeredEnded(by, now) })
	}
}

// source is the value of BUILDKITE_SOURCE.
func (b *build) source() string {
	if b.triggeredBy != nil {
		return "trigger_job"
	}
	return cmp.Or(b.request.Env["BUILDKITE_SOURCE"], "api")
}
