package simulator

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/onejob-dev/onejob/assumptions"
)

// The limits of notifications and of a stack's finish.
const (
	maxNotificationsPerJob = 100
	maxNotificationLength  = 256
	maxFinishDetail        = 4 << 10
	notifiableAfterEnd     = 300 * time.Second
)

// Notification is a message of a stack on a job's page.
type Notification struct {
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
	Stack  string    `json:"stack"`
}

// StackFinish is how a stack finished a job.
type StackFinish struct {
	Stack      string `json:"stack"`
	ExitStatus int    `json:"exit_status"`
	Detail     string `json:"detail"`
}

type notificationError struct {
	Error   string `json:"error"`
	Indexes []int  `json:"indexes"`
}

// notifyJobs stores the valid notifications. The reply names the others by index.
func (s *Simulator) notifyJobs(c *call) reply {
	st, rep := s.stack(c)
	if rep != nil {
		return *rep
	}
	return s.limited(c, st, "stack-notification", s.conf.RateLimits.Notify, func() reply {
		var req struct {
			Notifications []struct {
				JobUUID   string    `json:"job_uuid"`
				Detail    string    `json:"detail"`
				Timestamp time.Time `json:"timestamp"`
			} `json:"notifications"`
		}
		if rep := c.decode(&req); rep != nil {
			return *rep
		}
		if req.Notifications == nil || len(req.Notifications) > maxBatch {
			return *failure(http.StatusBadRequest, "notifications must be an array of at most 1000 items")
		}
		errs := []notificationError{}
		for i, n := range req.Notifications {
			problem := s.noteFor(st, n.JobUUID, n.Detail, n.Timestamp, c.now)
			if problem == "" {
				continue
			}
			at := slices.IndexFunc(errs, func(e notificationError) bool { return e.Error == problem })
			if at < 0 {
				errs = append(errs, notificationError{Error: problem})
				at = len(errs) - 1
			}
			errs[at].Indexes = append(errs[at].Indexes, i)
		}
		return ok(map[string]any{"errors": errs})
	})
}

func (s *Simulator) noteFor(st *stack, jobID, detail string, at, now time.Time) (problem string) {
	j, given := s.jobs[jobID], !at.IsZero()
	if !given {
		at = now // the Simulator's clock, which JumpClock may have moved
	}
	switch {
	case j == nil:
		return "job not found"
	case detail == "":
		return "detail is required"
	case utf8.RuneCountInString(detail) > maxNotificationLength:
		return "detail is too long (maximum is 256 characters)"
	case given && at.After(now.Add(time.Second)):
		return "timestamp can't be in the future"
	case given && at.Before(j.createdAt.Truncate(time.Second)):
		return "timestamp can't be before the job's creation"
	case j.state.Terminal() && now.Sub(j.finishedAt) > notifiableAfterEnd:
		return "job finished more than 300 seconds ago"
	case j.state == StateScheduled && s.conf.Profile.NotifyUnreserved == assumptions.NotifyUnreservedRefused:
		return "job isn't reserved"
	case len(j.notifications) >= maxNotificationsPerJob:
		return "job stack notification count exceeded"
	}
	j.notifications = append(j.notifications, Notification{Detail: detail, At: at, Stack: st.key})
	return ""
}

// stackFinish ends a job for a stack, if stackMayFinish allows it. A missing exit_status means
// -1; Buildkite's Go client leaves out 0.
func (s *Simulator) stackFinish(c *call) reply {
	st, rep := s.stack(c)
	if rep != nil {
		return *rep
	}
	return s.limited(c, st, "finish-job", s.conf.RateLimits.Finish, func() reply {
		req := struct {
			ExitStatus *int   `json:"exit_status"`
			Detail     string `json:"detail"`
		}{}
		if rep := c.decode(&req); rep != nil {
			return *rep
		}
		j := s.jobs[c.jobID]
		if j == nil {
			return *failure(http.StatusNotFound, "Job not found")
		}
		status := -1
		if req.ExitStatus != nil {
			status = *req.ExitStatus
		}
		switch {
		case req.Detail == "":
			return *failure(http.StatusUnprocessableEntity, "detail can't be blank")
		case len(req.Detail) > maxFinishDetail:
			if s.conf.Profile.LongDetail == assumptions.LongDetailRefused {
				return *failure(http.StatusUnprocessableEntity, "detail is limited to 4 KB")
			}
			req.Detail = strings.ToValidUTF8(req.Detail[:maxFinishDetail], "")
		}
		if j.stackFinish != nil {
			return s.stackFinishAgain(c, j, status)
		}
		if !s.stackMayFinish(j, st) {
			return *failure(http.StatusUnprocessableEntity, "The job is "+string(j.state)+" and can't be finished by a stack")
		}
		j.stackFinish = &StackFinish{Stack: st.key, ExitStatus: status, Detail: req.Detail}
		s.ledger.book(j.id).mark(opStackFinish, c.withheld)
		res := result{exitStatus: strconv.Itoa(status), signalReason: "stack_error"}
		if status == 0 {
			res.signalReason = ""
		}
		s.end(j, res, c.now, cause{event: "finished by stack", call: c, detail: req.Detail})
		return ok(map[string]any{})
	})
}

func (s *Simulator) stackMayFinish(j *job, st *stack) bool {
	play := s.conf.Profile
	switch {
	case j.state == StateScheduled:
		return play.StackFinishUnreserved == assumptions.StackFinishUnreservedTaken
	case j.state == StateReserved:
		return j.reservedBy == st.key || play.StackFinishOther == assumptions.StackFinishOtherTaken
	case j.state.Held():
		return play.StackFinishHeld == assumptions.StackFinishHeldTaken || slices.Contains(s.conf.FinishHeld, j.queue.key)
	}
	return false
}

// stackFinishAgain is the answer to a second finish of a job by a stack.
func (s *Simulator) stackFinishAgain(c *call, j *job, status int) reply {
	s.ledger.repeat(c, j.id, opStackFinish)
	if j.stackFinish.ExitStatus != status {
		s.ledger.accuse(c, ResultChanged, j.id, "stack finished it with %d, now with %d", j.stackFinish.ExitStatus, status)
	}
	if s.conf.Profile.StackFinishAgain == assumptions.StackFinishAgainTaken {
		return ok(map[string]any{})
	}
	return *failure(http.StatusUnprocessableEntity, "The job was finished by a stack already")
}
