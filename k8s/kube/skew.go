package kube

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Skew is how far the API server's clock is ahead of ours, by the Date of its
// last prompt answer (RFC 9110 §6.6.1, in whole seconds). Its zero value is ready
// for use, from any goroutine.
type Skew struct{ d atomic.Int64 }

// A Date is exact to a second, and an answer is older than it by its time on the
// network.
const (
	skewPrompt = 2 * time.Second
	skewLeast  = 3 * time.Second
)

// Wrap returns a transport that learns from the answers that pass through it.
func (s *Skew) Wrap(next http.RoundTripper) http.RoundTripper {
	return RoundTripper(func(req *http.Request) (*http.Response, error) {
		sent := time.Now()
		resp, err := next.RoundTrip(req)
		if err == nil {
			s.Learn(resp.Header.Get("Date"), sent, time.Now())
		}
		return resp, err
	})
}

// Learn takes the Date of an answer, with the times by our clock at which the request
// was sent and answered.
func (s *Skew) Learn(date string, sent, got time.Time) {
	at, err := http.ParseTime(date)
	if err != nil || got.Sub(sent) > skewPrompt {
		return
	}
	d := at.Add(time.Second / 2).Sub(sent.Add(got.Sub(sent) / 2))
	if d.Abs() < skewLeast {
		d = 0
	}
	s.d.Store(int64(d))
}

// Of returns the skew learned last: 0 if it is less than 3 s, or if none was learned.
func (s *Skew) Of() time.Duration { return time.Duration(s.d.Load()) }

// RoundTripper is a function as an http.RoundTripper.
type RoundTripper func(*http.Request) (*http.Response, error)

func (f RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
