package acquire

import (
	"math"
	"testing"
	"time"
)

func TestSeconds(t *testing.T) {
	for _, tt := range []struct {
		n    int
		want time.Duration
	}{
		{math.MinInt, time.Minute}, {-1, time.Minute}, {0, time.Minute},
		{1, 2 * time.Second}, {2, 2 * time.Second}, {30, 30 * time.Second},
		{3600, time.Hour}, {3601, time.Hour}, {math.MaxInt, time.Hour},
	} {
		if got := Seconds(tt.n, time.Minute, 2*time.Second, time.Hour); got != tt.want {
			t.Errorf("Seconds(%d) = %v, want %v", tt.n, got, tt.want)
		}
	}
}
