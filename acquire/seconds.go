package acquire

import "time"

// Seconds turns a server's number of seconds into a duration between low and high. Zero
// and negative numbers mean unset and become def; a number that would overflow a
// Duration becomes high. So no interval from the network can make a ticker panic or a
// loop spin.
func Seconds(n int, def, low, high time.Duration) time.Duration {
	switch {
	case n <= 0:
		return def
	case int64(n) >= int64(high/time.Second):
		return high
	default:
		return max(low, time.Duration(n)*time.Second)
	}
}
