package cache

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kube"
)

// A time is turned into ours once. What is seen to happen happens now, whatever
// the clocks say.
func TestSights(t *testing.T) {
	const day, age = 24 * time.Hour, 7 * time.Minute
	for _, tt := range []struct {
		name   string
		listed bool
		skew   time.Duration // the API server's clock, as far as is known
		told   time.Duration // from now
		made   time.Duration // before now, by our clock, as the kjob says; 0: it doesn't
		over   bool
		job    time.Duration // how long it has been scheduled
		want   time.Duration // from now
	}{
		{name: "seen to come"},
		{name: "seen to come, by a clock that is ahead", told: day},
		{name: "seen to come, by a clock that was ahead", told: day, skew: -day},
		{name: "seen to come, by a clock that is behind", told: -day},
		{name: "found", listed: true, told: -age, made: age, want: -age},
		{name: "found, by a clock that is ahead", listed: true, told: day - age, made: age, skew: day, want: -age},
		{name: "found, by a clock that is behind", listed: true, told: -day - age, made: age, skew: -day, want: -age},
		{name: "found, by a clock that was ahead", listed: true, told: day - age, made: age},
		{name: "found, by a clock that was behind", listed: true, told: -day, made: age, job: time.Hour, want: -age},
		{name: "found, and ours is set forward", listed: true, told: -age, made: day, want: -age},
		{name: "found, and ours is set back", listed: true, told: -age, made: -day},
		{name: "found, of the release before", listed: true, told: -age, job: time.Hour},
		{name: "over, by a clock that was behind, and no older than its job", listed: true, over: true, told: -day, job: time.Minute, want: -time.Minute},
		{name: "over, younger than its job", listed: true, over: true, told: -age, job: time.Hour, want: -age},
		{name: "over, and its job is yet to come", listed: true, over: true, told: -age, job: -time.Hour, want: -age},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				skew := tt.skew
				s := &sights{skew: func() time.Duration { return skew }, of: map[types.UID]*sight{}}
				began := time.Now()
				told := began.Add(tt.told).Round(0)
				see := func() *Job {
					k := &Job{KJob: decide.KJob{UID: "k", CreatedAt: told, Finished: tt.over}}
					if tt.made != 0 {
						k.Sent = began.Add(-tt.made).Round(0)
					}
					if k.ObjectMeta.UID = "k"; tt.job != 0 {
						k.Job.ScheduledAt = began.Add(-tt.job).Round(0)
					}
					s.kjob(k, tt.listed)
					return k
				}
				k := see()
				if got := k.CreatedAt.Sub(began); got != tt.want || !k.Made.Equal(told) || k.Found.IsZero() == tt.listed {
					t.Errorf("made %s from now, found %v, want %s", got, k.Found, tt.want)
				}
				for _, skew = range []time.Duration{day, -day} {
					time.Sleep(time.Second)
					if got := see().CreatedAt.Sub(began); got != tt.want {
						t.Errorf("when the API server's clock is set by %s, %s from then, want %s still", skew, got, tt.want)
					}
				}
			})
		})
	}
}

// Each time of a kjob and a pod is turned when it is first told, and a deletion's
// by its grace.
func TestSightsOfChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		skew := time.Duration(0)
		s := &sights{skew: func() time.Duration { return skew }, of: map[types.UID]*sight{}}
		k := decide.KJob{UID: "k", CreatedAt: time.Now().Round(0)}
		see := func(listed bool) decide.KJob {
			o := &Job{KJob: k}
			o.ObjectMeta.UID = k.UID
			s.kjob(o, listed)
			return o.KJob
		}
		seePod := func(p Pod, listed bool) decide.Pod {
			s.pod(&p, listed)
			return p.Pod
		}
		see(true)
		for _, at := range []*time.Time{&k.ResumedAt, &k.DeletedAt, &k.FinishedAt, &k.ResumedAt} {
			time.Sleep(time.Minute)
			skew += day
			*at = time.Now().Add(skew).Round(0)
			now := time.Now()
			got := see(true)
			for _, is := range []struct{ told, here time.Time }{{k.ResumedAt, got.ResumedAt}, {k.DeletedAt, got.DeletedAt}, {k.FinishedAt, got.FinishedAt}} {
				if is.told.Equal(*at) && !is.here.Equal(now) {
					t.Errorf("told now as %s, turned into %s, want %s", is.told, is.here, now)
				}
			}
		}
		skew = 0
		told, now := time.Now().Add(day), time.Now()
		stopped := func(uid types.UID, goneBy time.Time, grace time.Duration) Pod {
			p := Pod{Pod: decide.Pod{Terminating: true, GoneBy: goneBy.Round(0), Started: true, StartedAt: told.Round(0)}, grace: grace}
			p.UID = uid
			return p
		}
		if got := seePod(stopped("p", told, time.Minute), false); !got.GoneBy.Equal(now.Add(time.Minute)) || !got.StartedAt.Equal(now) {
			t.Errorf("seen to be deleted: gone by %s, started at %s; want a minute after %s, and that", got.GoneBy, got.StartedAt, now)
		}
		if got := seePod(stopped("p", told.Add(-time.Second), time.Second), false); !got.GoneBy.Equal(now.Add(time.Second)) {
			t.Errorf("deleted again, with a second's grace: gone by %s, want a second after %s", got.GoneBy, now)
		}
		for uid, tt := range map[types.UID]struct{ told, want time.Duration }{
			"found": {10 * time.Second, 10 * time.Second}, "late": {-time.Hour, -time.Hour}, "ahead": {day, time.Minute},
		} {
			if got := seePod(stopped(uid, now.Add(tt.told), time.Minute), true); !got.GoneBy.Equal(now.Add(tt.want)) {
				t.Errorf("%s: gone by %s, want %s", uid, got.GoneBy.Sub(now), tt.want)
			}
		}
		s.forget("p")
		s.forget("k")
		if len(s.of) != 3 {
			t.Errorf("%d sights are kept, want those of three pods", len(s.of))
		}
	})
}

// What is turned goes by the monotonic clock from then on: setting ours changes
// nothing.
func TestSightsAreMonotonic(t *testing.T) {
	for _, listed := range []bool{false, true} {
		s := &sights{skew: new(kube.Skew).Of, of: map[types.UID]*sight{}}
		then := time.Now().Add(-time.Minute).Round(0)
		k, p := &Job{KJob: decide.KJob{CreatedAt: then, ResumedAt: then, DeletedAt: then, FinishedAt: then}}, &Pod{Pod: decide.Pod{GoneBy: then, StartedAt: then}}
		k.ObjectMeta.UID, p.UID, k.Job.ScheduledAt = "k", "p", then.Add(time.Second)
		s.kjob(k, listed)
		s.pod(p, listed)
		for what, at := range map[string]time.Time{"made": k.CreatedAt, "resumed": k.ResumedAt, "deleted": k.DeletedAt, "finished": k.FinishedAt, "gone": p.GoneBy, "started": p.StartedAt} {
			if !strings.Contains(at.String(), " m=") {
				t.Errorf("listed %v: %s at %s, want a monotonic reading", listed, what, at)
			}
		}
	}
}
