package kube

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestSkew(t *testing.T) {
	sent := time.Date(2026, 1, 2, 3, 4, 5, 250e6, time.UTC)
	date := func(d time.Duration) string { return sent.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		name string
		date string
		took time.Duration
		want time.Duration // of whole seconds; -1 is what was known before
	}{
		{"the same", date(0), 100 * time.Millisecond, 0},
		{"a second is no news", date(2 * time.Second), 100 * time.Millisecond, 0},
		{"ours is behind", date(time.Minute), 100 * time.Millisecond, time.Minute},
		{"ours is ahead", date(-time.Hour), 100 * time.Millisecond, -time.Hour},
		{"an answer that took long", date(time.Minute), 5 * time.Second, -1},
		{"none", "", time.Millisecond, -1},
		{"garbage", "tomorrow", time.Millisecond, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Skew
			s.d.Store(-1)
			s.Learn(tt.date, sent, sent.Add(tt.took))
			if got := s.Of(); (got-tt.want).Abs() > time.Second || tt.want <= 0 && tt.want > -time.Second && got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestSkewLearnsFromAnswers(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))
	}))
	defer s.Close()
	var skew Skew
	resp, err := (&http.Client{Transport: skew.Wrap(s.Client().Transport)}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got := skew.Of(); (got - time.Minute).Abs() > 2*time.Second {
		t.Errorf("%s, want about a minute", got)
	}
}
