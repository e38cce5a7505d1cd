package main

import (
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// plan is everything about a history that its seed decides beforehand. What
// befalls single requests and pods is rolled when they come, by their names and
// numbers and not by their order, so that one change doesn't shift all the rest.
type plan struct {
	jobs        []time.Duration // when each comes
	maxInFlight int
	maxAttempts int
	ttl         time.Duration // of finished kjobs
	lasts       time.Duration // the time of trouble; after it all is well
	kube, wire  rates
	lag         time.Duration // the most that a watch event is late
	fates       map[fate]float64
	skew        time.Duration // of the API server's clock and the nodes', which a clock that is set adds to
	unseen      float64       // how likely the Job controller counts a pod that was deleted, and never ends its kjob
	happenings  []happening
	helpers     map[helper]float64 // what others put beside the agent container
	finishLost  bool               // lost-jobs: finish
	profile     assumptions.Profile
}

// acceptTimeout is how long Buildkite waits for a start in a history.
const acceptTimeout = 4 * time.Second

// statesLag is how late states are in a history where they are.
const statesLag = 2 * time.Second

// rates are how likely each trouble befalls a request.
type rates map[trouble]float64

// trouble is what can befall a request on its way.
type trouble int

const (
	fine       trouble = iota
	tornBefore         // never arrives
	replyLost          // takes effect, its reply is lost
	answers503         // answered with 503
	answers429         // answered with 429
	slowly             // takes a while, the asker may have left by then
	hangs              // never arrives, and the asker has to give up by itself
	landsLate          // takes effect after the asker has given up
	answers409         // Kubernetes: 409
	overQuota          // Kubernetes: 403, for now
	diesBefore         // the scheduler dies before it arrives
	diesAfter          // and before the reply comes
)

var troubleNames = []string{"fine", "torn before", "reply lost", "503", "429", "slow", "hangs", "lands late", "conflict", "quota", "scheduler dies before it", "scheduler dies after it"}

func (t trouble) String() string { return troubleNames[t] }

// happening is something that happens to the world at a time.
type happening struct {
	at, lasts time.Duration
	what      string
	n         int // which job, build or pod
}

var happeningKinds = []string{
	"crash", "crash", "drain", "second scheduler", "cancel job", "cancel build", "pause queue", "pause queue",
	"delete kjob", "delete kjob", "delete kjob in foreground", "cancel kjob", "delete pod", "delete pod", "suspend kjob", "drop watches", "drop watches", "break watches",
	"kubernetes is down", "buildkite is down", "buildkite limits", "token refused", "stack deregistered",
	setAPIServer, setNodes, setScheduler,
}

// Clocks that are set. What a bubble has as its own clock stays: when the
// scheduler's is set, all others are, by as much the other way.
const (
	setAPIServer = "the API server's clock is set"
	setNodes     = "the nodes' clocks are set"
	setScheduler = "the scheduler's clock is set"
)

// setBy is by how much.
var setBy = []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour}

func newPlan(seed uint64) plan {
	rng := rand.New(rand.NewPCG(seed, 0x68697374)) //nolint:gosec // not a secret
	seconds := func(lo, hi float64) time.Duration {
		return time.Duration((lo + rng.Float64()*(hi-lo)) * float64(time.Second))
	}
	p := plan{
		maxInFlight: rng.IntN(4), maxAttempts: 4 + rng.IntN(7), ttl: []time.Duration{0, 5 * time.Second, time.Minute, time.Hour}[rng.IntN(4)],
		lasts: seconds(5, 25), kube: rates{}, wire: rates{}, fates: map[fate]float64{},
	}
	for range 1 + rng.IntN(4) {
		p.jobs = append(p.jobs, seconds(0, p.lasts.Seconds()*0.8))
	}
	// A history has a few kinds of trouble and not a little of each: what needs
	// two of one kind would never come about otherwise.
	intensity := []float64{0.03, 0.1, 0.3}[rng.IntN(3)]
	for _, r := range []rates{p.kube, p.wire} {
		if rng.IntN(3) == 0 {
			continue
		}
		for t := tornBefore; t <= diesAfter; t++ {
			if rng.IntN(3) == 0 {
				r[t] = intensity * rng.Float64()
			}
		}
		for _, t := range []trouble{diesBefore, diesAfter} {
			r[t] *= 0.15 // each costs a restart
		}
	}
	if rng.IntN(2) == 0 {
		p.lag = seconds(0.5, 15)
	}
	if rng.IntN(3) > 0 {
		for f := ranOK + 1; f < nFates; f++ {
			if rng.IntN(3) == 0 {
				p.fates[f] = rng.Float64() * 0.4
			}
		}
	}
	if rng.IntN(3) == 0 {
		p.skew = seconds(-20, 20)
	}
	for range rng.IntN(7) {
		p.happenings = append(p.happenings, happening{
			at: seconds(0.2, p.lasts.Seconds()), lasts: seconds(1, 12), what: happeningKinds[rng.IntN(len(happeningKinds))], n: rng.IntN(100),
		})
	}
	if rng.IntN(2) == 0 {
		p.unseen = 0.5
	}
	p.finishLost = chance(seed, "finish lost") < 0.5
	p.profile = assumptions.Random(rand.New(rand.NewPCG(seed, 0x70726f66))) //nolint:gosec // not a secret
	p.helpers = map[helper]float64{}
	if rng.IntN(2) == 0 {
		for k := livesOn; k < nHelpers; k++ {
			if rng.IntN(2) == 0 {
				p.helpers[k] = rng.Float64() * 0.5
			}
		}
	}
	return p
}

// chance is a number in [0,1) that only the seed and the names decide.
func chance(seed uint64, names ...any) float64 {
	f := fnv.New64a()
	_, _ = fmt.Fprint(f, seed)
	_, _ = fmt.Fprint(f, names...)
	x := f.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	x ^= x >> 33
	return float64(x>>11) / math.Exp2(53)
}

// pick chooses among weighted kinds; what is left over is the zero kind.
func pick[K ~int](weights map[K]float64, most K, x float64) K {
	for k := K(0); k <= most; k++ {
		if x -= weights[k]; weights[k] > 0 && x < 0 {
			return k
		}
	}
	return 0
}
