package retryafter

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	date := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		name, value, date string
		want              time.Duration
		ok                bool
	}{
		{name: "absent"},
		{name: "seconds", value: "30", want: 30 * time.Second, ok: true},
		{name: "spaces", value: "  7 ", want: 7 * time.Second, ok: true},
		{name: "plus", value: "+7", want: 7 * time.Second, ok: true},
		{name: "zero", value: "0"},
		{name: "negative", value: "-5"},
		{name: "decimal", value: "1.5"},
		{name: "go duration", value: "1m30"},
		{name: "word", value: "soon"},
		{name: "a day and more", value: "86401", want: Max, ok: true},
		{name: "more than an int64", value: strings.Repeat("9", 40), want: Max, ok: true},
		{name: "overflows a Duration", value: "9223372036854775807", want: Max, ok: true},
		{name: "http-date", value: date(time.Minute), want: time.Minute, ok: true},
		{name: "http-date, past", value: date(-time.Minute), want: -time.Minute},
		{name: "http-date, now", value: date(0)},
		{name: "http-date, in a century", value: date(100 * 365 * 24 * time.Hour), want: Max, ok: true},
		{name: "http-date by the server's clock", value: date(time.Hour), date: date(time.Hour - time.Minute), want: time.Minute, ok: true},
		{name: "http-date, bad Date", value: date(time.Minute), date: "yesterday", want: time.Minute, ok: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if tt.value != "" {
				h.Set("Retry-After", tt.value)
			}
			if tt.date != "" {
				h.Set("Date", tt.date)
			}
			got, ok := Parse(h, now)
			if ok != tt.ok || tt.ok && got != tt.want {
				t.Errorf("Parse(%q) = %v, %v; want %v, %v", tt.value, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "0", "30", "-1", "99999999999999999999", "Wed, 21 Oct 2026 07:28:00 GMT", "1e9", "+", "٣"} {
		f.Add(s, "Wed, 21 Oct 2026 07:00:00 GMT")
	}
	f.Fuzz(func(t *testing.T, value, date string) {
		h := http.Header{"Retry-After": {value}, "Date": {date}}
		wait, ok := Parse(h, time.Now())
		if ok && (wait <= 0 || wait > Max) {
			t.Errorf("Parse(%q) believes a wait of %v", value, wait)
		}
	})
}
