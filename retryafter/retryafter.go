// Package retryafter reads the wait that a server asks for. Runner and scheduler
// both obey it, and neither imports the other.
package retryafter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Max is the longest wait that is believed: a longer one is taken for this.
const Max = 24 * time.Hour

// Parse reads a reply's Retry-After header (RFC 9110 §10.2.3): whole
// seconds, or an HTTP-date. The stock agent reads only seconds
// (docs/protocol.md#transport); a proxy in front of Buildkite may send either.
//
// It returns false when the header says nothing: absent, garbage, zero,
// negative, or a moment that is past. The backoff then decides, so that "0"
// makes no hot loop. A date is compared with the reply's own Date where it has
// one, so that a clock that is wrong here doesn't matter.
func Parse(h http.Header, now time.Time) (time.Duration, bool) {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0, false
	}
	if digits := strings.TrimPrefix(v, "+"); digits != "" && strings.Trim(digits, "0123456789") == "" {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > int64(Max/time.Second) {
			return Max, true // more digits than an int64 has
		}
		return time.Duration(n) * time.Second, n > 0
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	wait := at.Sub(now)
	return min(wait, Max), wait > 0
}
