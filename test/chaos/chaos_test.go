package chaos

import (
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/assumptions"
)

// TestChaos is the short form; `make chaos` is the long one.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("a cluster takes a minute to start; left out by -short")
	}
	seed := rand.Uint64N(1e6)
	name := ProfileOf(seed)
	profile, err := assumptions.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the profile is %s; seed %d: repeat it with go run ./test/chaos/cmd --seed=%[2]d --jobs=50 --for=50s --every=2s --ttl=25s", name, seed)
	report, err := Run(t.Context(), Options{
		Root: filepath.Join("..", ".."), Seed: seed, Jobs: 50, For: 50 * time.Second, Every: 2 * time.Second, TTL: 25 * time.Second, Profile: profile,
		Line: func(s string) { t.Log(s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if !report.Passed() {
		t.Fatalf("\n%s", report)
	}
	t.Logf("\n%s", report)
}
