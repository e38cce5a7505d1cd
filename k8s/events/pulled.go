package events

import (
	"regexp"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/k8s/decide"
)

// The kubelet says only in its Event Pulled how long an image took and how large it is,
// and only in a sentence. What isn't in one of these is not known.
var (
	pulledImage  = regexp.MustCompile(`^Successfully pulled image "([^"]*)" in [^ ]+ \(([0-9a-z.µ]+) including waiting\)(?:\. Image size: (\d{1,18}) bytes)?`)
	presentImage = regexp.MustCompile(`^Container image "([^"]*)" already present on machine`)
)

// mostPulls bounds what is taken from a pod's Events: a pod has few images.
const mostPulls = 32

// Pulls are the images that a pod's events say were pulled, or were there.
func Pulls(es []corev1.Event) (pulls []decide.Pull) {
	for _, e := range es {
		if e.Reason != "Pulled" || !genuine(e) || len(pulls) == mostPulls {
			continue
		}
		if m := presentImage.FindStringSubmatch(e.Message); m != nil {
			pulls = append(pulls, decide.Pull{Image: m[1], At: Time(e), Cached: true})
			continue
		}
		m := pulledImage.FindStringSubmatch(e.Message)
		if m == nil {
			continue
		}
		took, err := time.ParseDuration(m[2])
		if err != nil || took < 0 || took > maxPull {
			continue
		}
		bytes, _ := strconv.ParseInt(m[3], 10, 64) // 0 if it isn't said
		pulls = append(pulls, decide.Pull{Image: m[1], At: Time(e), Took: took, Bytes: bytes})
	}
	return pulls
}

// maxPull is longer than any pull: a pod has a deadline.
const maxPull = 7 * 24 * time.Hour
