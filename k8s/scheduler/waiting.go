package scheduler

import (
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/stacks"
)

// waitingLife is how long a job is remembered that is listed no more: its reservation may
// lapse, and it has waited since the first time then.
const waitingLife = 10 * time.Minute

// waiting is since when listed jobs could run. Buildkite's scheduled_at doesn't tell:
// it is when a job was made, or the one that uploaded it (docs/protocol.md#listing). A
// job wasn't on the list when that was last read to its end, so that it could not run
// before. Of one that was there at the first look, only scheduled_at is known. Only the
// poll loop has it.
type waiting struct {
	jobs map[contract.JobID]*waitingJob
	// whole is when the list was last read to its end; zero before that.
	whole time.Time
}

type waitingJob struct {
	since, seen time.Time
	came        bool // after a look, so that since is true
	ahead       ahead
}

// listed notes that a job was listed at a time, and returns since when it could run, and
// that again if it was seen to come.
func (w *waiting) listed(j stacks.Job, at time.Time) (since, came time.Time) {
	one := w.jobs[j.ID]
	if one == nil {
		one = &waitingJob{since: decide.Later(j.ScheduledAt, w.whole), came: !w.whole.IsZero()}
		w.jobs[j.ID] = one
	}
	one.seen = decide.Later(one.seen, at)
	if one.came {
		came = one.since
	}
	return one.since, came
}

// since is when a job that was listed could run; scheduled_at of one that wasn't.
func (w *waiting) since(j stacks.Job) time.Time {
	if one := w.jobs[j.ID]; one != nil {
		return one.since
	}
	return j.ScheduledAt
}

// readToEnd notes that all of the list was read, in a look that began at a time.
func (w *waiting) readToEnd(at time.Time) { w.whole = at }

// forget drops what has long been off the list. What a look has is on it, even if that
// is of an older look.
func (w *waiting) forget(at time.Time, has map[contract.JobID]bool) {
	for id, one := range w.jobs {
		if !has[id] && at.Sub(one.seen) > waitingLife {
			delete(w.jobs, id)
		}
	}
}
