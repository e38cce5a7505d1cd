package simulator

import (
	"slices"
	"time"
)

// warn adds a warning about an unsupported part of a pipeline to the build, once, and logs it.
func (s *Simulator) warn(b *build, text string) {
	if !slices.Contains(b.warnings, text) {
		b.warnings = append(b.warnings, text)
		s.conf.Logger.Warn("pipeline", "build", b.number, "pipeline", b.request.Slug, "warning", text)
	}
}

// noticeFailure is called when a job has ended and isn't retried. The first failure makes
// the build failing, and cancels the jobs of steps with cancel_on_build_failing.
func (s *Simulator) noticeFailure(j *job) {
	if !j.passed() && !j.softFailed() && j.state != StateWaitingFailed {
		s.fails(j.build)
	}
}

func (s *Simulator) fails(b *build) {
	if b.failing {
		return
	}
	b.failing = true
	s.later(func(now time.Time) {
		for _, n := range b.nodes {
			if !n.cancelOnBuildFailing {
				continue
			}
			for _, j := range n.current {
				s.cancel(j, now, cause{event: "build failing"})
			}
		}
	})
}
