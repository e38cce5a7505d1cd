package kube

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A server that goes down answers what it had begun: that lets nobody go. One
// that comes back lets all go with the first answer to a try.
func TestBrakeIsReleasedByATry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b Breaker
		if b.Wait() != 0 {
			t.Fatal("braked before any failure")
		}
		sent := time.Now()
		time.Sleep(time.Second)
		b.Unanswered(sent)
		b.Answered(sent)
		if b.Wait() == 0 {
			t.Error("let go by an answer to what was sent before the failure")
		}
		time.Sleep(BreakerFirst)
		try := time.Now()
		if b.Wait() != 0 {
			t.Fatal("no try after the first interval")
		}
		if b.Wait() == 0 {
			t.Error("two tries at a time")
		}
		time.Sleep(time.Millisecond)
		b.Unanswered(sent) // one that hung says nothing of the try
		b.Answered(try)
		time.Sleep(time.Millisecond)
		b.Unanswered(sent) // another one that hung
		for range 100 {
			if b.Wait() != 0 {
				t.Fatal("still braked after a try that was answered")
			}
		}
	})
}

// An hour without answers, a hundred workers that all ask whenever they may, and
// other requests that fail all the time: never more than one try at a time, and
// those neither as often as one a second nor hardly ever.
func TestBrakeInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const lasts = time.Hour
		var b Breaker
		began := time.Now()
		end := began.Add(lasts)
		b.Unanswered(began)
		var tries, trying atomic.Int64
		for range 100 {
			go func() {
				for time.Now().Before(end) {
					if wait := b.Wait(); wait > 0 {
						time.Sleep(wait)
						continue
					}
					if trying.Add(1) > 1 {
						t.Error("two tries at a time")
					}
					tries.Add(1)
					sent := time.Now()
					time.Sleep(10 * time.Millisecond)
					trying.Add(-1)
					b.Unanswered(sent)
				}
			}()
		}
		go func() {
			for time.Now().Before(end) {
				time.Sleep(200 * time.Millisecond)
				b.Unanswered(began)
				b.Unanswered(time.Time{})
			}
		}()
		time.Sleep(lasts + BreakerMax)
		synctest.Wait()
		if per := float64(tries.Load()) / lasts.Seconds(); per > 1 || per < 0.2 {
			t.Errorf("%.2f tries a second", per)
		}
	})
}
