package decide

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// Start is how an attempt came to its start, by times that Kubernetes and the runner
// report. What isn't known is zero, and left out.
type Start struct {
	Attempt int
	// Waited is how long the job could run before its kjob's create was sent.
	Waited time.Duration
	// Made is when the kjob was made, and Admitted when it was let in, if it was
	// suspended before its pod was made.
	Made, Admitted time.Time
	// Pod is when the Job controller made the pod.
	Pod time.Time
	// Scheduled is when the pod got its node, and Running when the agent container
	// began to run. Acquired is when the runner had the job.
	Scheduled, Running, Acquired time.Time
	// Pulls are those of the pod's images.
	Pulls []Pull
}

// Pull is what the kubelet says of an image that a pod needed.
type Pull struct {
	Image string
	// At is when the image was there, after it had taken so long.
	At   time.Time
	Took time.Duration
	// Bytes is its size, 0 if the kubelet didn't say it.
	Bytes int64
	// Cached: it was on the node before.
	Cached bool
}

// AcquiredAt is when a pod's runner had the job, as its message says; zero if it doesn't.
func AcquiredAt(p Pod) (at time.Time) {
	if p.Message == nil {
		return at
	}
	for _, phase := range p.Message.Phases {
		if phase.Name == "acquire" {
			at = phase.Start.Add(Seconds(phase.Seconds))
		}
	}
	return at
}

// AdmittedAt is when a kjob was let in that had been suspended, by the Job controller's
// clock; zero if it never was.
func AdmittedAt(k *batchv1.Job) time.Time {
	for _, c := range k.Status.Conditions {
		if c.Type == batchv1.JobSuspended && c.Status == corev1.ConditionFalse {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// Total is how long the start took: until the runner had the job or, as long as that
// isn't known, until the container ran. It is 0 if that isn't known either.
func (s Start) Total() time.Duration {
	if s.Made.IsZero() || s.Running.IsZero() {
		return 0
	}
	return s.Waited + max(0, Later(s.Running, s.Acquired).Sub(s.Made))
}

// Prepared is how long the node took for the pod's images and containers.
func (s Start) Prepared() time.Duration { return between(s.Scheduled, s.Running) }

// Text is one line: "started after 48 s: queue 3, node 12, image 31 (1.2 GB, not
// cached), containers 1, acquire 1". It is empty if the attempt hasn't started.
func (s Start) Text() string {
	if s.Made.IsZero() || s.Running.IsZero() {
		return ""
	}
	text, total := "started", fmt.Sprintf("%d s", seconds(s.Total()))
	if s.Attempt > 1 {
		text = fmt.Sprintf("attempt %d started", s.Attempt)
	}
	if s.Waited > 0 {
		text += " after " + total
	} else {
		text += " " + total + " after its Kubernetes Job was made"
	}
	var sum time.Duration
	for i, p := range s.parts() {
		told := seconds(sum)
		sum += p.took
		text += fmt.Sprintf("%s%s %d%s", []string{": ", ", "}[min(i, 1)], p.name, seconds(sum)-told, p.how) // these come to no more than the whole
	}
	return text
}

// stretch is a part of a start. No two overlap.
type stretch struct {
	name string
	took time.Duration
	how  string
}

// parts are one after the other, from when the kjob was made to the end of the start,
// whatever the clocks of different machines say.
func (s Start) parts() (parts []stretch) {
	at, end := s.Made, Later(s.Made, Later(s.Running, s.Acquired))
	until := func(to time.Time) (took time.Duration) {
		if to.After(end) {
			to = end
		}
		took, at = between(at, to), Later(at, to)
		return took
	}
	add := func(name string, took time.Duration) { parts = append(parts, stretch{name: name, took: took}) }
	if s.Waited > 0 {
		add("queue", s.Waited)
	}
	if s.Admitted.After(s.Made) {
		add("admission", until(s.Admitted))
	}
	if between(at, s.Pod) >= time.Second { // usually at once
		add("pod", until(s.Pod))
	}
	if s.Scheduled.IsZero() {
		return parts
	}
	add("node", until(s.Scheduled))
	early, late := s.pulls()
	took := pulled(early, at, s.Running)
	if prepared := until(s.Running); len(early) > 0 {
		parts = append(parts, image("", early, took))
		add("containers", prepared-took)
	} else {
		add("image and containers", prepared)
	}
	if s.Acquired.IsZero() {
		return parts
	}
	if took = pulled(late, at, s.Acquired); took >= time.Second {
		parts = append(parts, image(" of the command", late, took))
	} else {
		took = 0
	}
	add("acquire", until(s.Acquired)-took)
	return parts
}

// image is the part of some images.
func image(of string, pulls []Pull, took time.Duration) stretch {
	name, bytes, fetched := "image"+of, int64(0), 0
	if len(pulls) > 1 {
		name = fmt.Sprintf("%d images%s", len(pulls), of)
	}
	sized := true
	for _, p := range pulls {
		if !p.Cached {
			fetched++
			bytes += p.Bytes
			sized = sized && p.Bytes > 0
		}
	}
	how := "cached"
	switch {
	case fetched == len(pulls):
		how = "not cached"
	case fetched > 0:
		how = fmt.Sprintf("%d of them not cached", fetched)
	}
	if fetched > 0 && sized {
		how = humanize.Bytes(uint64(bytes)) + ", " + how
	}
	return stretch{name, took, " (" + how + ")"}
}

// pulls are those that began before the agent ran, and those that ended after it: the
// kubelet starts it first, and pulls the image of the command's container then.
func (s Start) pulls() (early, late []Pull) {
	for _, p := range s.Pulls {
		if over := !p.At.After(s.Running); over || p.At.Add(-p.Took).Before(s.Running) {
			early = append(early, p)
		}
		if p.At.After(s.Running) {
			late = append(late, p)
		}
	}
	return early, late
}

// pulled is how much of a time images were being pulled: two at once count once.
func pulled(pulls []Pull, from, to time.Time) (sum time.Duration) {
	slices.SortFunc(pulls, func(a, b Pull) int { return a.At.Add(-a.Took).Compare(b.At.Add(-b.Took)) })
	for _, p := range pulls {
		end := p.At
		if end.After(to) {
			end = to
		}
		sum += between(Later(from, p.At.Add(-p.Took)), end)
		from = Later(from, end)
	}
	return sum
}

func between(from, to time.Time) time.Duration {
	if from.IsZero() || to.IsZero() {
		return 0
	}
	return max(0, to.Sub(from))
}

// seconds are whole ones: the API server tells its times no finer.
func seconds(d time.Duration) int { return int(math.Round(d.Seconds())) }
