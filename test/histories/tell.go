package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/klog/v2"

	"github.com/onejob-dev/onejob/assumptions"
	"github.com/onejob-dev/onejob/jitter"
)

// options say which histories are told; see main for what each is.
type options struct {
	from, seed        uint64
	count, bad, times int
	log               bool
	profileName       string
	profile           *assumptions.Profile // none: one at random for each history
}

// flags are those without which a history isn't the same.
func (o options) flags() string {
	if o.profileName == "" {
		return ""
	}
	return " --profile=" + o.profileName
}

// tell tells histories, writes of them to out, and fails t if one is bad.
func tell(t *testing.T, o options, out io.Writer) {
	klog.SetSlogLogger(slog.New(slog.DiscardHandler)) // reflectors tell of each watch that breaks
	t.Cleanup(klog.ClearLogger)
	watch.DefaultChanSize = 20_000  // a bubble's burst comes in one instant
	utilruntime.ErrorHandlers = nil // one of them paces itself by a clock that no bubble has
	catchPanics(t)
	repeatable(t)
	if o.seed != 0 {
		replay(t, o, out)
		return
	}
	bad := 0
	var settled []time.Duration
	began := time.Now()
	for seed := o.from; bad < o.bad && len(settled) < o.count; seed++ {
		h := judged(t, seed, o)
		settled = append(settled, h.settled)
		if len(h.broken) > 0 {
			bad++
			t.Fail()
			fmt.Fprintln(out, h.story())
		}
	}
	if len(settled) == 0 {
		return
	}
	slices.Sort(settled)
	last := len(settled) - 1
	fmt.Fprintf(out, "%d histories from seed %d in %s, %d of them bad; all had ended after the trouble within %s (half of them), %s (99%%), %s (all)\n",
		len(settled), o.from, time.Since(began).Round(time.Millisecond), bad, settled[last/2], settled[last*99/100], settled[last])
}

// replay tells one history, as often as it is wanted.
func replay(t *testing.T, o options, out io.Writer) {
	failed := 0
	for range o.times {
		h := judged(t, o.seed, o)
		if len(h.broken) > 0 {
			failed++
			t.Fail()
		}
		if len(h.broken) > 0 || o.times == 1 {
			fmt.Fprintln(out, h.story())
		}
	}
	fmt.Fprintf(out, "seed %d: %d of %d replays failed\n", o.seed, failed, o.times)
}

// judged tells a history; a panic of client-go is a violation, too.
func judged(t *testing.T, seed uint64, o options) *history {
	before := panics.Load()
	h := live(t, seed, o)
	if after := panics.Load(); after != before {
		h.broken = append(h.broken, fmt.Sprintf("panic: %v", *after))
	}
	return h
}

var panics atomic.Pointer[any] // the last one in a goroutine of client-go

// catchPanics makes a panic in an informer's handler, which ends a process, a
// violation like any other.
func catchPanics(t *testing.T) {
	handlers, crash := utilruntime.PanicHandlers, utilruntime.ReallyCrash
	utilruntime.PanicHandlers = []func(context.Context, any){func(_ context.Context, what any) { panics.Store(&what) }}
	utilruntime.ReallyCrash = false
	t.Cleanup(func() { utilruntime.PanicHandlers, utilruntime.ReallyCrash = handlers, crash })
}

// repeatable lets a history come again with its seed: our jitter is a matter of
// the virtual time, client-go's of live's Seed, and goroutines take turns. Who
// has more processors starts more processes, as make histories does.
func repeatable(t *testing.T) {
	random, processors := jitter.Random, runtime.GOMAXPROCS(1)
	jitter.Random = func() float64 { return chance(0, time.Now().UnixNano()) }
	t.Cleanup(func() {
		jitter.Random = random
		runtime.GOMAXPROCS(processors)
	})
}
