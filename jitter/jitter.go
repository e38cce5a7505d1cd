// Package jitter spreads waits, so that many who wait don't come back together.
package jitter

import (
	"math/rand/v2"
	"time"
)

// Random gives numbers in [0,1). A test that has to see the same waits again
// replaces it before anything waits; it must then be safe for concurrent use.
var Random = rand.Float64

// UpTo is between nothing and d.
func UpTo(d time.Duration) time.Duration { return time.Duration(Random() * float64(d)) }

// Around is d, and up to a part of it more or less.
func Around(d time.Duration, part float64) time.Duration {
	return d + time.Duration((2*Random()-1)*part*float64(d))
}
