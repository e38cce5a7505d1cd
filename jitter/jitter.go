// Package jitter is how one waits to try again: as long as Doubled says, spread by UpTo,
// Around or AtLeast so that many who wait don't come back together, in Sleep. The
// runner's calls have a policy of their own on top (acquire.Backoff), and what waits in
// a work queue of client-go's is spread by what it is told.
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

// AtLeast is d, and up to a third of it more, at most ten seconds: for a wait that was
// asked for.
func AtLeast(d time.Duration) time.Duration { return d + UpTo(min(d/3, 10*time.Second)) }

// Doubled is the wait after failure number n, counted from 0, not spread yet: first,
// twice as long after each, and most at most.
func Doubled(first, most time.Duration, n int) time.Duration {
	// A shift that would leave 63 bits is most in any case.
	if n >= 62 || first > most>>n {
		return most
	}
	return first << n
}
