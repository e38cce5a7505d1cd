package main

import (
	"math"
	"slices"
	"time"
)

// samples are times that were measured.
type samples []time.Duration

// at returns the least sample that the fraction q of all don't exceed (nearest
// rank).
func (s samples) at(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(s))))
	return slices.Sorted(slices.Values(s))[max(rank, 1)-1]
}

// rate is how many came a second from the first to the last.
func (s samples) rate() float64 {
	return float64(len(s)-1) / max((s.at(1)-s.at(0)).Seconds(), 1e-9)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}
