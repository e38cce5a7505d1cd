package chaos

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/onejob-dev/onejob/simulator"
)

// script is what each job runs: it says that it began, works, says that it
// ended, and exits as it was told. It can't do so by curl: the image has none.
const script = `run=$(cat /proc/sys/kernel/random/uuid)
tell() {
  for try in $(seq 100); do
    if (exec 3<>"/dev/tcp/$CHAOS_HOST/$CHAOS_PORT" &&
        printf 'GET /%s/%s/%s/%s HTTP/1.0\r\n\r\n' "$1" "$BUILDKITE_JOB_ID" "$HOSTNAME" "$run" >&3 &&
        read -r -t 5 _ code _ <&3 && test "$code" = 200) 2>/dev/null; then return; fi
    sleep 0.3
  done
  echo "nobody counts"; exit 99
}
tell began
for i in $(seq "$CHAOS_SECONDS"); do echo "second $i"; sleep 1; done
tell ended
exit "$CHAOS_EXIT"
`

// build is some jobs that come in at one time.
type build struct {
	at       time.Duration
	pipeline []byte
	exits    []string // of its jobs
}

// work draws builds of n jobs in all, spread over a time. It is a function of
// its arguments.
func work(seed uint64, n int, over time.Duration, address string) ([]build, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(seed, 0x776f726b))
	var all []build
	for left := n; left > 0; {
		// A fifth of them is there at once, so that the first injuries meet somebody.
		b := build{at: time.Duration(max(0, rng.Float64()*1.2-0.2) * float64(over))}
		var steps []any
		for range min(left, 1+rng.IntN(8)) {
			exit := "0"
			if rng.IntN(5) == 0 {
				exit = "3"
			}
			b.exits = append(b.exits, exit)
			steps = append(steps, map[string]any{
				"label": fmt.Sprintf("job %d", n-left), "command": script, "priority": rng.IntN(3),
				"env": map[string]string{
					"BUILDKITE_SKIP_CHECKOUT": "true", "CHAOS_HOST": host, "CHAOS_PORT": port,
					"CHAOS_SECONDS": strconv.Itoa(rng.IntN(10)), "CHAOS_EXIT": exit,
				},
			})
			left--
		}
		if b.pipeline, err = json.Marshal(map[string]any{"steps": steps}); err != nil {
			return nil, err
		}
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b build) int { return cmp.Compare(a.at, b.at) })
	return all, nil
}

// feed makes the builds at their times. It returns each job's wanted exit status.
func feed(ctx context.Context, sim *simulator.Simulator, builds []build) (map[string]string, error) {
	wanted := map[string]string{}
	began := time.Now()
	for _, b := range builds {
		if !sleep(ctx, time.Until(began.Add(b.at))) {
			return wanted, context.Cause(ctx)
		}
		made, err := sim.CreateBuild(simulator.BuildRequest{Pipeline: b.pipeline})
		if err != nil {
			return wanted, err
		}
		for i, id := range made.JobIDs {
			wanted[id] = b.exits[i]
		}
	}
	return wanted, nil
}

// sleep waits; false means that ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
