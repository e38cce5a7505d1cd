package stacks

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter bounds what a server can make us wait: beyond it a header is
// more likely wrong than meant.
const maxRetryAfter = 10 * time.Minute

// parseRetryAfter reads a Retry-After header, delta-seconds or HTTP-date (RFC
// 9110 §10.2.3), as a wait from now. What is neither, or in the past, is 0.
func parseRetryAfter(h string, now time.Time) time.Duration {
	h = strings.TrimSpace(h)
	if h == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(h, 64); err == nil {
		if !(s > 0) { // also NaN
			return 0
		}
		if s > maxRetryAfter.Seconds() {
			return maxRetryAfter
		}
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(h); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	return 0
}
