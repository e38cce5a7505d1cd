package decide

import (
	"fmt"
	"math"
	"slices"
	"strings"
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
	text, total := "started", fmt.Sprintf("%s s", seconds(s.Total()))
	if s.Attempt > 1 {
		text = fmt.Sprintf("attempt %d started", s.Attempt)
	}
	if s.Waited > 0 {
		text += " after " + total
	} else {
		text += " " + total + " after its Kubernetes Job was made"
	}
	if parts := s.parts(); len(parts) > 0 {
		text += ": " + strings.Join(parts, ", ")
	}
	return text
}

func (s Start) parts() (parts []string) {
	add := func(name string, took time.Duration) { parts = append(parts, name+" "+seconds(took)) }
	if s.Waited > 0 {
		add("queue", s.Waited)
	}
	made := s.Made
	if s.Admitted.After(s.Made) {
		add("admission", s.Admitted.Sub(s.Made))
		made = s.Admitted
	}
	if late := between(made, s.Pod); late >= time.Second { // usually at once
		add("pod", late)
		made = s.Pod
	}
	if s.Scheduled.IsZero() {
		return parts
	}
	add("node", between(made, s.Scheduled))
	if pulled := s.pulled(); len(s.Pulls) > 0 {
		parts = append(parts, s.image(pulled))
		add("containers", max(0, s.Prepared()-pulled))
	} else {
		add("image and containers", s.Prepared())
	}
	if !s.Acquired.IsZero() {
		add("acquire", between(s.Running, s.Acquired))
	}
	return parts
}

// image is the part of the images.
func (s Start) image(pulled time.Duration) string {
	name, bytes, fetched := "image", int64(0), 0
	if len(s.Pulls) > 1 {
		name = fmt.Sprintf("%d images", len(s.Pulls))
	}
	sized := true
	for _, p := range s.Pulls {
		if !p.Cached {
			fetched++
			bytes += p.Bytes
			sized = sized && p.Bytes > 0
		}
	}
	how := "cached"
	switch {
	case fetched == len(s.Pulls):
		how = "not cached"
	case fetched > 0:
		how = fmt.Sprintf("%d of them not cached", fetched)
	}
	if fetched > 0 && sized {
		how = humanize.Bytes(uint64(bytes)) + ", " + how
	}
	return fmt.Sprintf("%s %s (%s)", name, seconds(pulled), how)
}

// pulled is how long images were being pulled: two at the same time count once.
func (s Start) pulled() (sum time.Duration) {
	pulls := slices.Clone(s.Pulls)
	slices.SortFunc(pulls, func(a, b Pull) int { return a.At.Add(-a.Took).Compare(b.At.Add(-b.Took)) })
	var until time.Time
	for _, p := range pulls {
		sum += between(Later(until, p.At.Add(-p.Took)), p.At)
		until = Later(until, p.At)
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
func seconds(d time.Duration) string { return fmt.Sprint(int(math.Round(d.Seconds()))) }
