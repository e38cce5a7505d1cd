package chaos

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/events"
	"github.com/onejob-dev/onejob/simulator"
	"github.com/onejob-dev/onejob/stacks"
)

// Evidence is all that a judgement rests on.
type Evidence struct {
	Jobs       []simulator.Job
	Ledger     []simulator.Entry
	Violations []simulator.Violation
	// Wanted are the exit statuses that the jobs' scripts end with, Cancelled
	// the jobs that a person cancelled, Runs what the scripts told. Untraced
	// are those of whose loss nobody may be left who could tell.
	Wanted    map[string]string
	Cancelled map[string]bool
	Untraced  map[string]bool
	Runs      map[string][]Execution
	// Told are the schedulers' Events, by job ID.
	Told map[string][]corev1.Event
	// Slots is how many jobs may run at a time.
	Slots int
	// CalmAfter is the last entry of the ledger before all injuries had ceased,
	// and Calm that time.
	CalmAfter uint64
	Calm      time.Time
	// Left names what should be gone: kjobs, pods, a held Lease, sessions.
	Left []Leftover
}

// Leftover is something that should be gone.
type Leftover struct {
	What string
	Name string // of an object that belongs to a job; else empty
}

func (l Leftover) String() string { return strings.TrimSpace(l.What + " " + l.Name) }

// longestWait is the longest that a job may have to wait when nothing is wrong
// any more: the longest backoff there is (two minutes, of a new attempt; a
// runner's is shorter), and a minute for the pod to start on a busy machine.
const longestWait = 2*time.Minute + time.Minute

// Problem is something that must not be.
type Problem struct {
	JobID string // empty when it is about no job
	Text  string
}

// Judgement is what a run came to.
type Judgement struct {
	Problems []Problem
	// Ended counts the jobs by how they ended.
	Ended map[string]int
	// Longest is the longest wait beyond the injuries, and LongestJob whose.
	Longest    time.Duration
	LongestJob string
}

// Judge says what doesn't hold. It is a function of the evidence.
func Judge(e Evidence) Judgement {
	j := Judgement{Ended: map[string]int{}}
	problem := func(id, format string, args ...any) {
		j.Problems = append(j.Problems, Problem{id, fmt.Sprintf(format, args...)})
	}
	for _, v := range e.Violations {
		if v.Kind == simulator.Abandoned {
			// A network that is cut eats grants and finishes, of which the
			// ledger can't know. How such a job ended is judged below.
			continue
		}
		problem(v.JobID, "the ledger blames: %s", v)
	}
	books := map[string][]simulator.Entry{}
	for _, entry := range e.Ledger {
		books[entry.JobID] = append(books[entry.JobID], entry)
	}
	for _, job := range e.Jobs {
		book, runs := books[job.ID], e.Runs[job.ID]
		for what, n := range map[string]int{
			"acquired": entered(book, simulator.StateAccepted) - takenBack(book), "started": entered(book, simulator.StateRunning), "run": len(runs),
		} {
			if n > 1 {
				problem(job.ID, "it was %s %d times", what, n)
			}
		}
		how, why := ending(job, book, runs, e)
		j.Ended[how]++
		if why != "" {
			problem(job.ID, "%s: %s", how, why)
		}
	}
	for id, wait := range waits(e) {
		if wait > j.Longest {
			j.Longest, j.LongestJob = wait, id
		}
	}
	if j.Longest > longestWait {
		problem(j.LongestJob, "it waited %s, with room for it, when all injuries had ceased, and one backoff is %s at most", j.Longest.Round(time.Second), longestWait)
	}
	for _, left := range e.Left {
		problem(jobOf(left.Name), "left over: %s", left)
	}
	return j
}

// The ways to end.
const (
	ranAndTold  = "ran to its end"
	wasRejected = "cancelled by a person"
	stackEnded  = "ended by the scheduler"
	runnerEnded = "ended by its runner"
	wasLost     = "lost while it ran"
	notEnded    = "not ended"
)

// ending says how a job ended, and what is wrong with that.
func ending(job simulator.Job, book []simulator.Entry, runs []Execution, e Evidence) (how, wrong string) {
	last := simulator.Entry{}
	if i := slices.IndexFunc(book, func(e simulator.Entry) bool { return e.To.Terminal() }); i >= 0 {
		last = book[i]
	}
	switch {
	case !job.State.Terminal():
		return notEnded, "it is " + string(job.State)
	case job.StackFinish != nil:
		if job.StackFinish.Detail == "" {
			wrong = "no reason is given"
		}
		return stackEnded, wrong
	case job.State == simulator.StateCanceled:
		if !e.Cancelled[job.ID] {
			wrong = "nobody cancelled it"
		}
		return wasRejected, wrong
	case last.Event == "finished" && job.SignalReason == "" && job.ExitStatus == e.Wanted[job.ID]:
		switch {
		case len(runs) == 0:
			wrong = "its script never began"
		case !runs[0].Ended:
			wrong = "its script never ended"
		}
		return ranAndTold, wrong
	case last.Event == "finished":
		if job.SignalReason == "" && job.Signal == "" && !e.explained(job) {
			wrong = fmt.Sprintf("exit status %q where its script's is %q, and no reason is given", job.ExitStatus, e.Wanted[job.ID])
		}
		return runnerEnded, wrong
	default: // Buildkite lost its agent
		if !e.explained(job) && !e.Untraced[job.ID] {
			wrong = last.Event + ", and nobody told why"
		}
		return wasLost, wrong
	}
}

// explained reports whether a job's page says something of it that is about its run.
// The page has words alone; the Event with the same words has their code.
func (e Evidence) explained(job simulator.Job) bool {
	return slices.ContainsFunc(e.Told[job.ID], func(event corev1.Event) bool {
		words := contract.Line(event.Message, stacks.MaxNotification)
		isOnPage := slices.ContainsFunc(job.Notifications, func(n simulator.Notification) bool { return n.Detail == words })
		return isOnPage && ofItsRun(event)
	})
}

// ofItsRun reports whether an Event is about a job that an agent had; others are about
// attempts that were lost before, and about what it waited for.
func ofItsRun(e corev1.Event) bool {
	if e.Reason != events.Lost && e.Reason != events.Notice {
		return false
	}
	told := events.Told(e)
	switch told.Reason {
	case decide.ReasonFinished, decide.ReasonLost, decide.ReasonLostAfter, decide.ReasonNotRun, decide.ReasonDeclined, decide.ReasonOtherPod,
		decide.ReasonStopped, decide.ReasonDeleted, decide.ReasonCancelled, decide.ReasonOutlived:
		return true
	}
	return told.Topic == decide.TopicMaybeGranted
}

func entered(book []simulator.Entry, state simulator.JobState) (n int) {
	for _, e := range book {
		if e.To == state {
			n++
		}
	}
	return n
}

// takenBack is how often Buildkite took a job back that was acquired and not started in
// time: a reply was lost, and the next acquisition is the first once more.
func takenBack(book []simulator.Entry) (n int) {
	for _, e := range book {
		if e.From == simulator.StateAccepted && e.To == simulator.StateScheduled {
			n++
		}
	}
	return n
}

// waits are how long each job waited beyond the injuries, while there was room:
// fewer than a third of the slots had a job that runs. A slot's job takes some
// time to start and to leave, so that behind a long line of others many slots
// are empty at any moment, and that is no delay.
func waits(e Evidence) map[string]time.Duration {
	wait, state := map[string]time.Duration{}, map[string]simulator.JobState{}
	last := e.Calm
	for _, entry := range e.Ledger {
		if entry.Seq > e.CalmAfter {
			running := 0
			for _, s := range state {
				if s.Held() {
					running++
				}
			}
			for id, s := range state {
				if running < e.Slots/3 && (s == simulator.StateScheduled || s == simulator.StateReserved) {
					wait[id] += entry.Time.Sub(last)
				}
			}
			last = entry.Time
		}
		if entry.To != "" {
			state[entry.JobID] = entry.To
		}
	}
	return wait
}
