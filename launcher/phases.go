package launcher

import (
	"math"
	"time"

	"github.com/onejob-dev/onejob/contract"
)

// phases records the phases of an attempt. One goroutine uses it.
type phases struct{ list []contract.Phase }

// begin ends the phase that runs, if any, and begins another.
func (p *phases) begin(name string) {
	p.end()
	p.list = append(p.list, contract.Phase{Name: name, Start: time.Now().UTC().Truncate(time.Millisecond), Seconds: -1})
}

// end ends the phase that runs.
func (p *phases) end() {
	if n := len(p.list); n > 0 && p.list[n-1].Seconds < 0 {
		d := time.Since(p.list[n-1].Start).Seconds()
		p.list[n-1].Seconds = math.Round(d*1000) / 1000
	}
}

// split has the phase that runs end at a time, if it is one within the phase, and another
// begin then.
func (p *phases) split(name string, at time.Time) {
	n := len(p.list)
	if n == 0 || p.list[n-1].Seconds >= 0 || at.Before(p.list[n-1].Start) || at.After(time.Now()) {
		return
	}
	at = at.UTC().Truncate(time.Millisecond)
	p.list[n-1].Seconds = max(0, at.Sub(p.list[n-1].Start).Seconds())
	p.list = append(p.list, contract.Phase{Name: name, Start: at, Seconds: -1})
}
