package acquire

import (
	"strings"
	"testing"
	"time"
)

func TestBackoffDelay(t *testing.T) {
	quiet := Backoff{Base: time.Second, Cap: time.Minute}
	for _, tt := range []struct {
		k    int
		want time.Duration
	}{
		{0, time.Second}, {1, 2 * time.Second}, {5, 32 * time.Second}, {6, time.Minute},
		// roko's Exponential is negative at 34, and 2^62 s overflows anyhow.
		{34, time.Minute}, {61, time.Minute}, {62, time.Minute}, {1 << 30, time.Minute},
	} {
		if got := quiet.Delay(tt.k, NewRand(1)); got != tt.want {
			t.Errorf("Delay(%d) = %v, want %v", tt.k, got, tt.want)
		}
	}
}

func TestBackoffDelayJitter(t *testing.T) {
	rnd := NewRand(1)
	low, high := time.Hour, time.Duration(0)
	for range 10000 {
		d := DefaultAcquire.Delay(3, rnd)
		low, high = min(low, d), max(high, d)
	}
	if low < 7*time.Second || low > 7100*time.Millisecond || high >= 13*time.Second || high < 12900*time.Millisecond {
		t.Errorf("10,000 delays of attempt 3 lie in [%v, %v], want them to fill [7s, 13s)", low, high)
	}
	negative := Backoff{Base: time.Second, Cap: time.Minute, JitterMin: -5 * time.Second, JitterMax: -4 * time.Second}
	if d := negative.Delay(0, rnd); d != 0 {
		t.Errorf("a negative delay came out as %v, want 0", d)
	}
}

func TestBackoffDelayIsSeeded(t *testing.T) {
	a, b := NewRand(7), NewRand(7)
	for k := range 20 {
		if x, y := DefaultAcquire.Delay(k%7, a), DefaultAcquire.Delay(k%7, b); x != y {
			t.Fatalf("the same seed gave %v and %v", x, y)
		}
	}
}

func TestBackoffAfterRetryAfter(t *testing.T) {
	rnd := NewRand(1)
	for _, tt := range []struct{ floor, most time.Duration }{
		{time.Second, 6 * time.Second},       // the policy's own jitter
		{30 * time.Second, 60 * time.Second}, // grows with the wait
		{10 * time.Minute, 20 * time.Minute},
	} {
		distinct := map[time.Duration]int{} // by second
		for range 10000 {
			d := DefaultAcquire.AfterRetryAfter(tt.floor, rnd)
			if d < tt.floor || d >= tt.most {
				t.Fatalf("AfterRetryAfter(%v) = %v, want it in [%v, %v)", tt.floor, d, tt.floor, tt.most)
			}
			distinct[d.Truncate(time.Second)]++
		}
		if want := int((tt.most - tt.floor) / time.Second); len(distinct) != want {
			t.Errorf("AfterRetryAfter(%v) spreads over %d seconds, want %d", tt.floor, len(distinct), want)
		}
	}
}

func TestBackoffValidate(t *testing.T) {
	for _, b := range []Backoff{DefaultAcquire, DefaultRegister} {
		if err := b.Validate(); err != nil {
			t.Errorf("a default policy is invalid: %v", err)
		}
	}
	err := Backoff{Attempts: 0, Base: -1, Cap: -2, JitterMin: 2, JitterMax: -1}.Validate()
	if err == nil {
		t.Fatal("nonsense is valid")
	}
	for _, want := range []string{"attempts", "base", "cap", "jitter's range", "jitter's end", "deadline", "one request"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error says nothing of the %s: %v", want, err)
		}
	}

	// A range that overflows would panic at the first delay.
	const never = time.Duration(1<<63 - 1)
	err = Backoff{Attempts: 1, Base: never, Cap: never, JitterMin: -never, JitterMax: never, Deadline: never, Timeout: never}.Validate()
	if err == nil {
		t.Fatal("centuries are valid")
	}
	for _, want := range []string{"base delay", "cap", "jitter's beginning", "jitter's end", "deadline", "one request"} {
		if !strings.Contains(err.Error(), want+" is ") {
			t.Errorf("the error says nothing of the %s: %v", want, err)
		}
	}
	most := Backoff{Attempts: 1, Base: longest, Cap: longest, JitterMin: -longest, JitterMax: longest, Deadline: longest, Timeout: longest}
	if err := most.Validate(); err != nil {
		t.Errorf("a day is invalid: %v", err)
	}
	most.Delay(0, NewRand(1))
}

// TestDefaultAcquireArithmetic keeps the docstring's sums true.
func TestDefaultAcquireArithmetic(t *testing.T) {
	var waits time.Duration
	for k := range DefaultAcquire.Attempts - 1 {
		waits += min(DefaultAcquire.Base<<k, DefaultAcquire.Cap)
	}
	if waits != 63*time.Second {
		t.Errorf("the waits add up to %v, want 63s", waits)
	}
	if most := waits + 6*DefaultAcquire.JitterMax; most != 93*time.Second || DefaultAcquire.Deadline-most != 237*time.Second {
		t.Errorf("with the most jitter %v, leaving %v; want 93s and 237s", most, DefaultAcquire.Deadline-most)
	}
}
