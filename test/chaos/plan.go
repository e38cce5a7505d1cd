package chaos

import (
	"math/rand/v2"
	"time"
)

// strike is one injury at its time.
type strike struct {
	at     time.Duration // from the first job
	lasts  time.Duration // 0: it is done at once
	injury *injury
	dice   uint64 // seeds what the injury itself draws
}

// maxAtOnce bounds the injuries that last at one time, so that most of the
// system goes on most of the time: what is wholly down learns nothing.
const maxAtOnce = 3

// leadIn is how long the first jobs have to get under way.
const leadIn = 5 * time.Second

// plan draws strikes for a time, one every so often on average. It is a function
// of its arguments. Injuries come out of a bag that holds each as often as it
// weighs, so that a short plan has many kinds.
func plan(seed uint64, injuries []injury, total, every time.Duration) []strike {
	rng := rand.New(rand.NewPCG(seed, 0x6368616f73))
	var bag []*injury
	var all []strike
	for at := leadIn; ; {
		at += time.Duration((0.3 + 1.4*rng.Float64()) * float64(every))
		if at >= total {
			return all
		}
		if len(bag) == 0 {
			for i := range injuries {
				for range injuries[i].weight {
					bag = append(bag, &injuries[i])
				}
			}
			rng.Shuffle(len(bag), func(i, j int) { bag[i], bag[j] = bag[j], bag[i] })
		}
		for i, in := range bag {
			lasts := in.draw(rng)
			if !fits(all, in, at) {
				continue
			}
			bag = append(bag[:i:i], bag[i+1:]...)
			all = append(all, strike{at: at, lasts: min(lasts, total-at), injury: in, dice: rng.Uint64()})
			break
		}
	}
}

// fits reports whether an injury may begin: not while its like lasts, nor while
// too much else does.
func fits(all []strike, in *injury, at time.Duration) bool {
	lasting := 0
	for _, s := range all {
		if s.lasts == 0 || s.at+s.lasts <= at {
			continue
		}
		lasting++
		if s.injury.hurts == in.hurts && in.hurts != "" {
			return false
		}
	}
	return in.most == 0 || lasting < maxAtOnce
}
