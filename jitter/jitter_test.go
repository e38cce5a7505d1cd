package jitter

import (
	"testing"
	"time"
)

func TestDoubled(t *testing.T) {
	for _, tt := range []struct {
		first, most time.Duration
		n           int
		want        time.Duration
	}{
		{time.Second, time.Minute, 0, time.Second},
		{time.Second, time.Minute, 5, 32 * time.Second},
		{time.Second, time.Minute, 6, time.Minute},
		{time.Second, time.Minute, 34, time.Minute}, // where a second in nanoseconds overflows
		{time.Second, time.Minute, 1 << 40, time.Minute},
		{600 * time.Millisecond, 3 * time.Second, 2, 2400 * time.Millisecond},
		{600 * time.Millisecond, 3 * time.Second, 3, 3 * time.Second},
		{time.Minute, time.Second, 0, time.Second},
		{1, 1<<63 - 1, 61, 1 << 61},
		{1, 1<<63 - 1, 62, 1<<63 - 1},
	} {
		if got := Doubled(tt.first, tt.most, tt.n); got != tt.want {
			t.Errorf("Doubled(%s, %s, %d) = %s, want %s", tt.first, tt.most, tt.n, got, tt.want)
		}
	}
}

func TestAtLeast(t *testing.T) {
	for d, more := range map[time.Duration]time.Duration{0: 0, 3 * time.Second: time.Second, time.Hour: 10 * time.Second} {
		for range 100 {
			if got := AtLeast(d); got < d || got > d+more {
				t.Fatalf("AtLeast(%s) = %s", d, got)
			}
		}
	}
}
