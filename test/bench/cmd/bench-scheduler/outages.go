package main

import (
	"context"

	"github.com/onejob-dev/onejob/test/controlplane"
)

// outages (i): Buildkite or the API server is away in the middle of a burst.
// When has every job its kjob, and how hard was knocked at the door meanwhile?
// What the API server leaves when it was away is not cleared away.
func (b *bench) outages(ctx context.Context) {
	for _, o := range controlplane.Outages() {
		if ctx.Err() != nil {
			return
		}
		logf("i: %s", o.Name)
		err := b.scenario(ctx, 0, o.Settings(), o.Fault == nil, func(ctx context.Context, s *subject) error {
			kubelet, err := s.RunKubelet(ctx, o.Behaviour())
			if err != nil {
				return err
			}
			defer kubelet.Close()
			e, err := s.Endure(ctx, o, func() error {
				if o.AtStart {
					return s.launch()
				}
				return s.start(ctx)
			})
			if err != nil {
				return err
			}
			b.report.add("i", o.Name+": its end to the last job's kjob", e.Late.Seconds(), "s", atMost(10), "")
			b.report.add("i", o.Name+": most requests a second of an endpoint", e.Most(), "", atMost(2), "")
			return nil
		})
		if err != nil {
			b.report.fail("i", o.Name, err)
		}
	}
}
