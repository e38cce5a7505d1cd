package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"syscall"
	"time"

	"github.com/onejob-dev/onejob/test/clock"
)

// skews are what a clock is set to be off, in the middle of whatever its owner does. An
// hour either way leaves the certificates valid, but for some minutes; a day back none.
var skews = []time.Duration{-24 * time.Hour, -50 * time.Minute, 50 * time.Minute, 23 * time.Hour}

// skew sets a clock, now to one of the skews and as healing to the machine's.
func skew(who string, rng *rand.Rand, set func(time.Duration) error) (wound, error) {
	by, _ := pick(rng, skews)
	err := set(by)
	if errors.Is(err, clock.ErrUnsupported) {
		err = fmt.Errorf("%w (%w)", errNobody, err)
	}
	return wound{
		what: fmt.Sprintf("%s: %s off", who, by),
		heal: func(context.Context) error { return set(0) },
	}, err
}

func skewAPIServer(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	return skew("the API server", rng, m.Cluster.SetAPIServerClock)
}

// skewNode sets the clocks of a kubelet, its containerd and all containers there, the
// jobs' runners and a scheduler among them.
func skewNode(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	node := m.Cluster.NodeNames[rng.IntN(len(m.Cluster.NodeNames))]
	return skew(node, rng, func(by time.Duration) error { return m.Cluster.SetNodeClock(node, by) })
}

func skewScheduler(_ context.Context, m *machine, rng *rand.Rand) (wound, error) {
	p, err := pick(rng, m.schedulers())
	if err != nil {
		return wound{}, err
	}
	all, err := m.Cluster.PodProcesses(p.UID)
	if err != nil {
		return wound{}, err
	}
	one, err := pick(rng, scheduler(all))
	if err != nil {
		return wound{}, err
	}
	return skew(p.Name, rng, func(by time.Duration) error {
		err := clock.Set(one.PID, by)
		if gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH); by == 0 && gone {
			return nil
		}
		return err
	})
}
