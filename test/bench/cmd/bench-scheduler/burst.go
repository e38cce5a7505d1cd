package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// marks are the kjobs whose times are reported, as parts of the burst.
var marks = []struct {
	part float64
	peer string
}{{0.1, "8.97 (tuned 1.49)"}, {0.5, "48.97 (tuned 2.75)"}, {1, "98.97 (tuned 4.05)"}}

// bursts (b, c): many jobs at once, and after it, in the same namespace, bare
// loops that create the same objects.
func (b *bench) bursts(ctx context.Context, s *subject) error {
	var first samples
	at, bare, calls := map[float64]samples{}, map[int][]float64{}, map[string][]float64{}
	var rates, shares, writes, cpu []float64
	if err := b.cleared(ctx); err != nil {
		return err
	}
	for range b.rounds {
		r, err := b.once(ctx, s)
		if err != nil {
			return err
		}
		first = append(first, r.took.at(0))
		for _, m := range marks {
			at[m.part] = append(at[m.part], r.took.at(m.part))
		}
		for name, n := range r.calls {
			calls[name] = append(calls[name], float64(n)/float64(b.burst))
		}
		writes = append(writes, float64(r.writes)/float64(b.burst))
		best := 0.0
		for _, workers := range loops {
			rate, took, err := b.bareLoop(ctx, s, r.sample, workers)
			if err != nil {
				return fmt.Errorf("the bare loop of %d workers: %w", workers, err)
			}
			bare[workers] = append(bare[workers], rate)
			best = max(best, rate)
			cpu = append(cpu, took.Seconds()*1000/float64(b.burst))
		}
		rates = append(rates, r.took.rate())
		shares = append(shares, r.took.rate()/best)
	}
	r := b.report
	r.add("b", "the 1st kjob", first.at(0.5).Seconds(), "s", atMost(0.4), "0.98 (tuned 1.04)")
	for _, m := range marks {
		r.add("b", fmt.Sprintf("kjob %d", int(m.part*float64(b.burst))), at[m.part].at(0.5).Seconds(), "s", noBar, m.peer)
	}
	r.add("b", "kjobs a second, from the first to the last", median(rates), "", noBar, "10 (tuned 332)")
	for _, workers := range loops {
		r.add("b", fmt.Sprintf("a bare loop of %d, creates a second", workers), median(bare[workers]), "", noBar, map[int]string{1: "139", 8: "258", 32: "395", 100: "554"}[workers])
	}
	r.add("b", "CPU of a bare loop and its watch, per 1,000", median(cpu), "s", noBar, "")
	r.add("b", "share of the best bare loop", 100*median(shares), "%", atLeast(80), "1.8 (tuned 59)")

	beyond := 0.0
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		// A round without a call counts too.
		n := median(append(calls[name], make([]float64, b.rounds-len(calls[name]))...))
		most := noBar
		switch name {
		case "stacks_list":
		case "stacks_job": // the environment, which says whether a step has an image of its own
			most = atMost(1.05)
		default:
			beyond += n
		}
		r.add("c", "b: "+name+" calls a job", n, "", most, peerCalls[name])
	}
	r.add("c", "b: Buildkite calls a job beyond listing and environment", beyond, "", atMost(0.05), "2.0 (tuned 1.03)")
	r.add("c", "b: writes to jobs a kjob, Events and statuses apart", median(writes), "", exactly(1), "")
	return nil
}

var peerCalls = map[string]string{
	"stacks_job": "1", "stacks_notify": "0.98 (tuned 0.03)", "stacks_list": "0.10 (tuned 0.009)",
	"stacks_states": "0.02 (tuned 0.001)", "stacks_reserve": "0.001",
}

// round is what one burst came to.
type round struct {
	took   samples // of each job until its kjob was seen
	calls  map[string]int
	writes int
	sample *batchv1.Job
}

func (b *bench) once(ctx context.Context, s *subject) (round, error) {
	before := s.Watch.Jobs()
	if err := s.start(ctx); err != nil {
		return round{}, err
	}
	pause(ctx, idle)
	written, err := b.jobWrites(ctx)
	if err != nil {
		return round{}, err
	}
	ids, began, err := s.Build(b.burst)
	if err != nil {
		return round{}, err
	}
	if err := s.Watch.WaitFor(ctx, before+b.burst); err != nil {
		return round{}, err
	}
	pause(ctx, time.Second)
	r := round{calls: map[string]int{}}
	for name, n := range s.Requests(began, time.Now()) {
		if strings.HasPrefix(name, "stacks_") {
			r.calls[name] = n
		}
	}
	after, err := b.jobWrites(ctx)
	if err != nil {
		return round{}, err
	}
	for what, n := range after {
		if n -= written[what]; n > 0 {
			logf("b: writes to jobs: %d %s", n, what)
			r.writes += n
		}
	}
	kjobs := s.Watch.Kjobs()
	for _, k := range kjobs {
		if slices.Contains(ids, k.Job) {
			r.took = append(r.took, k.Seen.Sub(began))
		}
	}
	if len(r.took) != b.burst {
		return round{}, fmt.Errorf("%d jobs have %d kjobs", b.burst, len(r.took))
	}
	if r.sample, err = s.Kube.BatchV1().Jobs(s.Namespace).Get(ctx, kjobs[len(kjobs)-1].Name, metav1.GetOptions{}); err != nil {
		return round{}, err
	}
	s.kill()
	// Its jobs must not be found by the scheduler of the next round.
	for _, build := range s.Simulator.Builds() {
		if !build.Done() {
			if err := s.Simulator.CancelBuild(build.Number); err != nil {
				return round{}, err
			}
		}
	}
	return r, s.Clear(ctx)
}
