package stacks

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

func TestNotifierBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, sent int
		down := true
		c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
			if down {
				down = false
				return 503, nil, ""
			}
			var in struct{ Notifications []Notification }
			_ = json.Unmarshal(body, &in)
			calls++
			sent += len(in.Notifications)
			return 200, nil, map[string]any{"errors": []any{}}
		})
		n := NewNotifier(c, slog.New(slog.DiscardHandler))
		go n.Run(t.Context())
		for _, id := range ids(2500) {
			n.Add(id, "pending: "+strings.Repeat("é", 300), nil)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if sent != 2500 || calls != 3 {
			t.Errorf("sent %d notifications in %d calls, want 2500 in 3", sent, calls)
		}
	})
}

// What was added just before the end, and what the end cuts off on its way, is
// still sent.
func TestNotifierSendsTheLast(t *testing.T) {
	for name, wait := range map[string]time.Duration{"before it is sent": notifyEvery / 5, "on its way": notifyEvery + notifyEvery/5} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				ctx, cancel := context.WithCancel(t.Context())
				c := client(t, func(r *http.Request, _ []byte) (int, map[string]string, any) {
					select {
					case <-time.After(notifyEvery / 2):
						calls++
					case <-r.Context().Done():
						return 400, nil, "cut off"
					}
					return 200, nil, map[string]any{"errors": []any{}}
				})
				n := NewNotifier(c, slog.New(slog.DiscardHandler))
				n.Add(ids(1)[0], "last words", nil)
				go func() {
					time.Sleep(wait)
					cancel()
				}()
				n.Run(ctx)
				if calls != 1 {
					t.Errorf("sent %d times, want once", calls)
				}
			})
		})
	}
}

// A token that is rotated costs no notification: what was refused for it is sent once
// it is mended.
func TestNotifierWaitsUntilItIsWelcome(t *testing.T) {
	for _, status := range []int{401, 403} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var calls, sent, then, answer atomic.Int64
				answer.Store(int64(status))
				c := client(t, func(r *http.Request, body []byte) (int, map[string]string, any) {
					if strings.HasSuffix(r.URL.Path, "/notifications") {
						calls.Add(1)
					}
					var in struct{ Notifications []Notification }
					_ = json.Unmarshal(body, &in)
					if answer.Load() == 200 {
						sent.Add(int64(len(in.Notifications)))
					}
					return int(answer.Load()), nil, map[string]any{"errors": []any{}}
				})
				n := NewNotifier(c, slog.New(slog.DiscardHandler))
				go n.Run(t.Context())
				for _, id := range ids(3) {
					n.Add(id, "lost", func() { then.Add(1) })
				}
				time.Sleep(10 * refusedEvery)
				synctest.Wait()
				if calls.Load() != 10 || then.Load() != 0 {
					t.Errorf("refused: sent %d times, %d said to be told; want 10 and none", calls.Load(), then.Load())
				}
				answer.Store(200)
				time.Sleep(refusedEvery)
				synctest.Wait()
				if sent.Load() != 3 || then.Load() != 3 || calls.Load() != 11 {
					t.Errorf("mended: %d sent in %d calls, %d said to be told; want 3, 11, 3", sent.Load(), calls.Load(), then.Load())
				}
			})
		})
	}
}

// A stack that somebody deregistered costs no notification if it is registered again
// before long, and a moment at most if it is so before they are sent again.
func TestNotifierWaitsForTheStack(t *testing.T) {
	for away, most := range map[time.Duration]int{refusedEvery / 2: 2, loneFor: 300} {
		synctest.Test(t, func(t *testing.T) {
			b := &buildkite{answer: failures["404"], taken: map[contract.JobID]time.Time{}}
			b.down.Store(true)
			n := NewNotifier(client(t, b.serve), slog.New(slog.DiscardHandler))
			dropped, then := 0, 0
			n.Dropped = func(count int) { dropped += count }
			go n.Run(t.Context())
			for _, id := range ids(30) {
				n.Add(id, "lost", func() { then++ })
			}
			time.Sleep(away)
			b.down.Store(false)
			time.Sleep(refusedEvery)
			synctest.Wait()
			if dropped > 0 || len(b.taken) != 30 || then != 30 || int(b.calls.Load()) > most {
				t.Errorf("away for %s: dropped %d, %d told in %d calls, %d said to be told; want 30 in %d", away, dropped, len(b.taken), int(b.calls.Load()), then, most)
			}
		})
	}
}

// A Buildkite whose clock is behind ours refuses our times. What it was to tell
// is told all the same; what it refuses for another reason is tried once more
// and then dropped.
func TestNotifierWithAnotherClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := ids(3)
		full, calls := all[1], 0
		told, then := map[contract.JobID]int{}, map[contract.JobID]int{}
		c := client(t, func(_ *http.Request, body []byte) (int, map[string]string, any) {
			calls++
			var in struct{ Notifications []Notification }
			_ = json.Unmarshal(body, &in)
			early, over := []int{}, []int{}
			for i, n := range in.Notifications {
				switch {
				case n.JobID == full:
					over = append(over, i)
				case n.Time != nil && n.Time.After(time.Now().Add(-10*time.Second)):
					early = append(early, i)
				default:
					told[n.JobID]++
				}
			}
			return 200, nil, map[string]any{"errors": []any{
				map[string]any{"error": "timestamp can't be in the future", "indexes": early},
				map[string]any{"error": "job stack notification count exceeded", "indexes": over},
			}}
		})
		n := NewNotifier(c, slog.New(slog.DiscardHandler))
		go n.Run(t.Context())
		for _, id := range all {
			n.Add(id, "lost", func() { then[id]++ })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		for _, id := range all {
			if then[id] != 1 {
				t.Errorf("what became of %s was said %d times, want once", id, then[id])
			}
		}
		if told[all[0]] != 1 || told[all[2]] != 1 || told[full] != 0 || calls != 2 {
			t.Errorf("told %v in %d calls, want the first and the last once, in 2", told, calls)
		}
	})
}

// buildkite takes notifications, and answers those with a certain word in their
// text as it is told to.
type buildkite struct {
	answer func() (status int, h map[string]string, reply any)
	down   atomic.Bool // answers all of them so
	calls  atomic.Int32

	mu    sync.Mutex
	taken map[contract.JobID]time.Time
}

func (b *buildkite) serve(_ *http.Request, body []byte) (int, map[string]string, any) {
	b.calls.Add(1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down.Load() || strings.Contains(string(body), "poison") {
		return b.answer()
	}
	var in struct{ Notifications []Notification }
	_ = json.Unmarshal(body, &in)
	for _, n := range in.Notifications {
		b.taken[n.JobID] = time.Now()
	}
	return 200, nil, map[string]any{"errors": []any{}}
}

// The ways in which a text can fail: what a database can't take, and what something
// in between doesn't let through.
var failures = map[string]func() (int, map[string]string, any){
	"500": func() (int, map[string]string, any) { return 500, nil, map[string]string{"message": "oops"} },
	"404": func() (int, map[string]string, any) { return 404, nil, map[string]string{"message": "no"} },
	"422": func() (int, map[string]string, any) { return 422, nil, map[string]string{"message": "no"} },
	"403 of a proxy's": func() (int, map[string]string, any) {
		return 403, map[string]string{"Content-Type": "text/html"}, "<html>blocked"
	},
	"503":       func() (int, map[string]string, any) { return 503, nil, "" },
	"no answer": func() (int, map[string]string, any) { return 0, nil, nil },
}

// A text that Buildkite can't take holds up no other: all others are told soon, what
// came before it and what comes after, and it is given up in the end.
func TestOneTextHoldsUpNoOther(t *testing.T) {
	for name, answer := range failures {
		for _, poisoned := range []int{1, 20} {
			t.Run(fmt.Sprintf("%s, %d of them", name, poisoned), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := &buildkite{answer: answer, taken: map[contract.JobID]time.Time{}}
					n := NewNotifier(client(t, b.serve), slog.New(slog.DiscardHandler))
					dropped, then := 0, map[contract.JobID]int{}
					n.Dropped = func(count int) { dropped += count }
					go n.Run(t.Context())
					all, began := ids(1500), time.Now()
					for i, id := range all[:1000] {
						text := "lost"
						if i%50 == 7 && i/50 < poisoned {
							text = "poison"
						}
						n.Add(id, text, func() { then[id]++ })
					}
					worst := time.Duration(0)
					for _, id := range all[1000:] {
						time.Sleep(time.Second)
						n.Add(id, "lost later", func() { then[id]++ })
					}
					time.Sleep(5 * time.Minute)
					synctest.Wait()
					for i, id := range all {
						since := began
						if i >= 1000 {
							since = began.Add(time.Duration(i-999) * time.Second)
						}
						if at, ok := b.taken[id]; ok {
							worst = max(worst, at.Sub(since))
						}
						if then[id] != 1 {
							t.Errorf("what hangs on text %d came %d times, want once", i, then[id])
						}
					}
					if dropped != poisoned || len(b.taken) != len(all)-poisoned {
						t.Errorf("dropped %d of %d, %d told; want the poisoned ones dropped and all others told", dropped, len(all), len(b.taken))
					}
					t.Logf("told within %s, %d calls", worst, int(b.calls.Load()))
					if limit := 40 * time.Second; poisoned == 1 && worst > limit {
						t.Errorf("one was told after %s, want %s", worst, limit)
					}
				})
			})
		}
	}
}

// A Buildkite that is away for an hour costs no notification, however it fails and
// whatever was tried meanwhile.
func TestOutageDropsNothing(t *testing.T) {
	for name, answer := range failures {
		if name == "404" || name == "422" { // no outage
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &buildkite{answer: answer, taken: map[contract.JobID]time.Time{}}
				b.down.Store(true)
				n := NewNotifier(client(t, b.serve), slog.New(slog.DiscardHandler))
				dropped, lasts := 0, time.Hour
				n.Dropped = func(count int) { dropped += count }
				if name == "500" { // an answer, which is believed after a while
					lasts = loneFor
				}
				go n.Run(t.Context())
				all := ids(300)
				for _, id := range all {
					n.Add(id, "lost", nil)
					time.Sleep(lasts / time.Duration(len(all)))
				}
				b.down.Store(false)
				time.Sleep(time.Minute)
				synctest.Wait()
				if dropped > 0 || len(b.taken) != len(all) {
					t.Errorf("dropped %d, %d of %d told", dropped, len(b.taken), len(all))
				}
				t.Logf("%d calls", int(b.calls.Load()))
			})
		})
	}
}

// The only text that there is waits for no other to show that it can't be told: what
// hangs on it goes on. It is given up at once if Buildkite has answered, and in the end
// if nobody does.
func TestLoneTextIsGivenUp(t *testing.T) {
	for name, answer := range failures {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &buildkite{answer: answer}
				n := NewNotifier(client(t, b.serve), slog.New(slog.DiscardHandler))
				var then, dropped atomic.Int32
				n.Dropped = func(count int) { dropped.Add(int32(count)) }
				go n.Run(t.Context())
				n.Add(ids(1)[0], "poison", func() { then.Add(1) })
				time.Sleep(refusedEvery + loneFor + 10*time.Second)
				synctest.Wait()
				answered := name == "404" || name == "422" || name == "500"
				if then.Load() != 1 || answered != (dropped.Load() == 1) {
					t.Errorf("soon: dropped %d, what hangs on it came %d times, want once", dropped.Load(), then.Load())
				}
				time.Sleep(loneLast)
				synctest.Wait()
				calls := int(b.calls.Load())
				time.Sleep(time.Hour)
				synctest.Wait()
				if then.Load() != 1 || dropped.Load() != 1 || int(b.calls.Load()) != calls {
					t.Errorf("in the end: dropped %d after %d calls, and %d more; what hangs on it came %d times", dropped.Load(), calls, int(b.calls.Load())-calls, then.Load())
				}
				t.Logf("%d calls", calls)
			})
		})
	}
}

// A 403 about a text is that text's affair as long as the token is accepted.
func TestForbiddenText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &buildkite{answer: func() (int, map[string]string, any) { return 403, nil, map[string]string{"message": "no"} }, taken: map[contract.JobID]time.Time{}}
		n := NewNotifier(client(t, func(r *http.Request, body []byte) (int, map[string]string, any) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				return 200, nil, map[string]string{"uuid": "1", "cluster_uuid": "2"}
			}
			return b.serve(r, body)
		}), slog.New(slog.DiscardHandler))
		go n.Run(t.Context())
		all := ids(10)
		for i, id := range all {
			n.Add(id, map[bool]string{true: "poison", false: "lost"}[i == 4], nil)
		}
		time.Sleep(20 * time.Second)
		synctest.Wait()
		if len(b.taken) != len(all)-1 {
			t.Errorf("%d told after 20 s, want 9", len(b.taken))
		}
		time.Sleep(loneFor + time.Minute) // then it is given up
	})
}
