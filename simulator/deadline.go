package simulator

import (
	"container/heap"
	"time"
)

// deadline is a time at which run is called under the lock. run must check whether its
// reason still holds, because a deadline is never removed early. That saves heartbeats the
// work on the heap.
type deadline struct {
	at  time.Time
	run func(now time.Time)
}

// deadlines is a heap of deadlines with one timer for the earliest. Simulator.mu guards it.
type deadlines struct {
	items []deadline
	timer *time.Timer
	fire  func()
	now   func() time.Time
	shut  bool
}

func (d *deadlines) Len() int           { return len(d.items) }
func (d *deadlines) Less(i, j int) bool { return d.items[i].at.Before(d.items[j].at) }
func (d *deadlines) Swap(i, j int)      { d.items[i], d.items[j] = d.items[j], d.items[i] }
func (d *deadlines) Push(x any)         { d.items = append(d.items, x.(deadline)) }
func (d *deadlines) Pop() any {
	last := d.items[len(d.items)-1]
	d.items[len(d.items)-1] = deadline{}
	d.items = d.items[:len(d.items)-1]
	return last
}

func (d *deadlines) add(at time.Time, run func(now time.Time)) {
	if d.shut {
		return
	}
	heap.Push(d, deadline{at, run})
	if d.items[0].at.Equal(at) {
		d.arm()
	}
}

func (d *deadlines) arm() {
	if len(d.items) == 0 || d.shut {
		return
	}
	wait := max(d.items[0].at.Sub(d.now()), 0)
	if d.timer == nil {
		d.timer = time.AfterFunc(wait, d.fire)
		return
	}
	d.timer.Reset(wait)
}

func (d *deadlines) stop() {
	d.shut = true
	d.items = nil
	if d.timer != nil {
		d.timer.Stop()
	}
}

// expire is the timer's function. It runs the deadlines that are due and sets the timer to
// the next.
func (s *Simulator) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isShut {
		return
	}
	now := s.now()
	for len(s.deadlines.items) > 0 && !s.deadlines.items[0].at.After(now) {
		heap.Pop(&s.deadlines).(deadline).run(now)
	}
	s.deadlines.arm()
}
