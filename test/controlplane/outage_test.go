package controlplane_test

import (
	"testing"
	"time"

	"github.com/onejob-dev/onejob/test/controlplane"
)

// latest is how long after the end of an outage the last kjob may come. The bar
// is ten seconds on a machine that has nothing else to do, and the benchmark's
// (bench-scheduler -scenarios i). Here it is no less than what a first
// reservation lasts, 20 s, for these run side by side, among other tests, and a
// bound that a slow machine breaks shows nothing; it shows what waits for a
// reservation of minutes.
const latest = time.Minute

// endures has a scheduler go through an outage in mid-burst: every job has its
// kjob soon after its end, and nobody was hammered meanwhile.
func endures(t *testing.T, o controlplane.Outage) *lab {
	l := open(t, o.Settings())
	behaviour := o.Behaviour()
	l.behave(func(int, *controlplane.Runner) controlplane.Behaviour { return behaviour })
	e, err := l.Endure(l.ctx, o, func() error {
		if p := l.launch(); !o.AtStart {
			return l.Serving(l.ctx, p, 0)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("every job had its kjob %s after the end of the outage; requests in its %s: %v", e.Late.Round(100*time.Millisecond), e.Lasted.Round(time.Second), e.Requests)
	if e.Late > latest {
		t.Errorf("the last job had its kjob %s after the end of the outage, want at most %s", e.Late, latest)
	}
	if len(e.Requests) == 0 {
		t.Error("what was away wasn't asked for anything in the outage: the test shows nothing")
	}
	if most := e.Most(); most >= 2 {
		t.Errorf("%.2f requests a second of an endpoint in the outage, want under 2: %v", most, e.Requests)
	}
	return l
}

// Buildkite fails, in one way or another.
func TestBuildkiteOutage(t *testing.T) {
	t.Parallel()
	for _, o := range controlplane.Outages() {
		if o.Fault == nil {
			continue
		}
		t.Run(o.Name, func(t *testing.T) {
			t.Parallel()
			endures(t, o).ended(3 * time.Minute)
		})
	}
}

// The API server is away. Nothing else may need it meanwhile, nor slow the Job
// controller down afterwards: then an attempt may follow one that isn't called
// finished yet.
func TestAPIServerOutage(t *testing.T) {
	for _, o := range controlplane.Outages() {
		if o.Fault != nil {
			continue
		}
		l := endures(t, o)
		l.ended(3 * time.Minute)
		for _, name := range l.overlapping() {
			t.Errorf("the kjob %s was made before the one before it was finished", name)
		}
	}
}
