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

// A Date is a second wide, and an answer older than it by the way it took.
const (
	skewPrompt = 2 * time.Second
	skewLeast  = 3 * time.Second
)

// Wrap makes a transport that learns from the answers that come through it.
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

// Learn takes in the Date of an answer to a request that was sent and answered at
// times of our clock.
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

// Of returns what was learned last: 0 for less than 3 s, or if nothing was.
func (s *Skew) Of() time.Duration { return time.Duration(s.d.Load()) }

// RoundTripper is a function as an http.RoundTripper.
type RoundTripper func(*http.Request) (*http.Response, error)

func (f RoundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
