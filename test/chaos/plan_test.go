package chaos

import (
	"reflect"
	"testing"
	"time"
)

// A plan is its seed's, has all kinds, and never hurts one thing twice at a time.
func TestPlan(t *testing.T) {
	const total = 10 * time.Minute
	for seed := range uint64(50) {
		one := plan(seed, injuries, total, 3*time.Second)
		if !reflect.DeepEqual(one, plan(seed, injuries, total, 3*time.Second)) {
			t.Fatalf("seed %d: two plans of one seed differ", seed)
		}
		if n := len(one); n < 150 || n > 250 {
			t.Errorf("seed %d: %d strikes, want about 200", seed, n)
		}
		kinds := map[string]bool{}
		for i, s := range one {
			kinds[s.injury.name] = true
			if s.at+s.lasts > total {
				t.Errorf("seed %d: %s ends after the end", seed, s.injury.name)
			}
			lasting := 0
			for _, before := range one[:i] {
				if before.at > s.at {
					t.Fatalf("seed %d: not in the order of time", seed)
				}
				if before.at+before.lasts <= s.at || s.lasts == 0 {
					continue
				}
				lasting++
				if before.injury.hurts == s.injury.hurts {
					t.Errorf("seed %d: %s hurts %s while %s does", seed, s.injury.name, s.injury.hurts, before.injury.name)
				}
			}
			if lasting >= maxAtOnce {
				t.Errorf("seed %d: %s is number %d at one time", seed, s.injury.name, lasting+1)
			}
		}
		if len(kinds) != len(injuries) {
			t.Errorf("seed %d: %d kinds of %d", seed, len(kinds), len(injuries))
		}
	}
	if reflect.DeepEqual(plan(1, injuries, total, 3*time.Second), plan(2, injuries, total, 3*time.Second)) {
		t.Error("two seeds have one plan")
	}
}

// The injuries that silence a runner, added to a clock's jump from one end to the
// other, must stay below the silence at which Buildkite gives a job up.
func TestInjuriesAreNoReasonToLoseAnAgent(t *testing.T) {
	for _, in := range injuries {
		if in.hurts != "Buildkite" && in.hurts != "replies" {
			continue
		}
		if got := in.most + 2*maxSkew; got >= heartbeatTimeout {
			t.Errorf("%s: %s of silence, and Buildkite gives up after %s", in.name, got, heartbeatTimeout)
		}
	}
}

func TestWork(t *testing.T) {
	builds, err := work(7, 500, time.Minute, "10.0.0.1:80")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := work(7, 500, time.Minute, "10.0.0.1:80")
	if !reflect.DeepEqual(builds, again) {
		t.Error("the same seed makes other work")
	}
	jobs, failing := 0, 0
	for i, b := range builds {
		jobs += len(b.exits)
		if i > 0 && b.at < builds[i-1].at {
			t.Error("not in the order of time")
		}
		for _, exit := range b.exits {
			if exit != "0" {
				failing++
			}
		}
	}
	if jobs != 500 || failing < 50 || failing > 150 {
		t.Errorf("%d jobs, %d that fail; want 500 and about 100", jobs, failing)
	}
}
