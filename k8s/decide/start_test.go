package decide

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What isn't known of a start is left out, and nothing is made up for it.
func TestStartText(t *testing.T) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(s float64) time.Time { return made.Add(Seconds(s)) }
	pull := func(end, took float64, bytes int64) Pull {
		return Pull{Image: "a", At: at(end), Took: Seconds(took), Bytes: bytes}
	}
	for _, tt := range []struct {
		name string
		Start
		want  string
		total float64
	}{
		{"all of it", Start{Attempt: 1, Waited: 3 * time.Second, Made: made, Scheduled: at(12), Running: at(44), Acquired: at(45), Pulls: []Pull{pull(43, 31, 1_200_000_000)}},
			"started after 48 s: queue 3, node 12, image 31 (1.2 GB, not cached), containers 1, acquire 1", 48},
		{"nothing but its kjob", Start{Attempt: 1, Made: made}, "", 0},
		{"not since when it waits", Start{Attempt: 1, Made: made, Scheduled: at(12), Running: at(44)}, "started 44 s after its Kubernetes Job was made: node 12, image and containers 32", 44},
		{"not when it got its node", Start{Attempt: 1, Waited: time.Second, Made: made, Running: at(44)}, "started after 45 s: queue 1", 45},
		{"nothing of its parts", Start{Attempt: 2, Made: made, Running: at(44)}, "attempt 2 started 44 s after its Kubernetes Job was made", 44},
		{"suspended at first", Start{Attempt: 1, Made: made, Admitted: at(100), Scheduled: at(101), Running: at(103)}, "started 103 s after its Kubernetes Job was made: admission 100, node 1, image and containers 2", 103},
		{"a pod that came late", Start{Attempt: 1, Made: made, Pod: at(40), Scheduled: at(41), Running: at(44)}, "started 44 s after its Kubernetes Job was made: pod 40, node 1, image and containers 3", 44},
		{"an image that was there", Start{Attempt: 1, Made: made, Scheduled: at(1), Running: at(40), Pulls: []Pull{{At: at(2), Cached: true}}},
			"started 40 s after its Kubernetes Job was made: node 1, image 0 (cached), containers 39", 40},
		{"a size that isn't said", Start{Attempt: 1, Made: made, Scheduled: at(1), Running: at(40), Pulls: []Pull{pull(39, 38, 0)}},
			"started 40 s after its Kubernetes Job was made: node 1, image 38 (not cached), containers 1", 40},
		{"two pulled at the same time count once", Start{Attempt: 1, Made: made, Scheduled: at(1), Running: at(40), Pulls: []Pull{pull(30, 20, 1e6), pull(20, 19, 1e6), {At: at(2), Cached: true}}},
			"started 40 s after its Kubernetes Job was made: node 1, 3 images 29 (2.0 MB, 2 of them not cached), containers 10", 40},
		{"a node whose clock is behind", Start{Attempt: 1, Made: made, Scheduled: at(12), Running: at(10)}, "started 10 s after its Kubernetes Job was made: node 10, image and containers 0", 10},
		{"the command's image is pulled while the agent waits", Start{Attempt: 1, Made: made, Scheduled: at(1), Running: at(4), Acquired: at(65), Pulls: []Pull{pull(3, 2, 1e6), pull(62, 57, 1e9)}},
			"started 65 s after its Kubernetes Job was made: node 1, image 2 (1.0 MB, not cached), containers 1, image of the command 57 (1.0 GB, not cached), acquire 4", 65},
		{"it isn't known yet when the runner had its job", Start{Attempt: 1, Made: made, Scheduled: at(1), Running: at(40), Pulls: []Pull{{At: at(2), Cached: true}, pull(62, 20, 1e9)}},
			"started 40 s after its Kubernetes Job was made: node 1, image 0 (cached), containers 39", 40},
		{"a runner that waited long", Start{Attempt: 1, Made: made, Scheduled: at(1), Running: at(2), Acquired: at(62)}, "started 62 s after its Kubernetes Job was made: node 1, image and containers 1, acquire 60", 62},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.Text(); got != tt.want {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			if got := tt.Total(); got != Seconds(tt.total) {
				t.Errorf("total %s, want %v s", got, tt.total)
			}
			if len(tt.Text()) > 256 || strings.Contains(tt.Text(), "%!") {
				t.Errorf("%q fits no page", tt.Text())
			}
		})
	}
}

// Whatever the clocks of different machines say, the parts come to no more than the whole,
// nor do the numbers that are told.
func TestStartPartsDoNotOverlap(t *testing.T) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	random := rand.New(rand.NewPCG(1, 2))
	some := func() time.Time {
		if random.IntN(6) == 0 {
			return time.Time{}
		}
		return made.Add(time.Duration(random.IntN(100_000)-5_000) * time.Millisecond)
	}
	number := regexp.MustCompile(`[a-z] (\d+)(?:,|$| \()`)
	for range 20_000 {
		s := Start{Attempt: 1, Waited: time.Duration(random.IntN(9_000)) * time.Millisecond, Made: made, Admitted: some(), Pod: some(), Scheduled: some(), Running: some(), Acquired: some()}
		for range random.IntN(4) {
			s.Pulls = append(s.Pulls, Pull{At: some(), Took: time.Duration(random.IntN(60_000)) * time.Millisecond, Bytes: 1e6, Cached: random.IntN(2) == 0})
		}
		var sum time.Duration
		for _, p := range s.parts() {
			if sum += p.took; p.took < 0 {
				t.Fatalf("%+v: %s takes %s", s, p.name, p.took)
			}
		}
		_, told, _ := strings.Cut(s.Text(), ": ")
		numbers := 0
		for _, m := range number.FindAllStringSubmatch(told, -1) {
			n, _ := strconv.Atoi(m[1])
			numbers += n
		}
		if s.Text() != "" && (sum > s.Total() || numbers > int(s.Total().Seconds()+.5)) {
			t.Fatalf("%+v: the parts come to %s, and %d in %q", s, sum, numbers, s.Text())
		}
	}
}
