package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/test/fixture"
)

// statusPage is the address of the status page of the scheduler that leads.
func (d *kubeDemo) statusPage(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("no scheduler leads"))
	defer cancel()
	for {
		page, err := fixture.LeadersPage(ctx, d.fixture.Cluster.Client())
		if err != nil || page != "" {
			return page, err
		}
		if !jitter.Sleep(ctx, 300*time.Millisecond) {
			return "", context.Cause(ctx)
		}
	}
}

// slowest explains the start that took longest, by what `onejob explain` says.
func (d *kubeDemo) slowest(ctx context.Context) error {
	var ids []string
	labels := map[string]string{}
	for _, job := range d.fixture.Simulator.Jobs() {
		if started(job) {
			ids, labels[job.ID] = append(ids, job.ID), job.Label
		}
	}
	out, err := d.onejob(ctx, "explain", append([]string{"-o", "json"}, ids...)...)
	if err != nil {
		return err
	}
	var most float64
	slowest := ""
	for stories := json.NewDecoder(bytes.NewReader(out)); stories.More(); {
		var s struct {
			JobID    string `json:"job_id"`
			Attempts []struct {
				Start        string  `json:"start"`
				StartSeconds float64 `json:"start_seconds"`
			} `json:"attempts"`
		}
		if err := stories.Decode(&s); err != nil {
			return err
		}
		for _, a := range s.Attempts {
			if a.StartSeconds >= most && a.Start != "" {
				most, slowest = a.StartSeconds, fmt.Sprintf("%q %s", labels[s.JobID], a.Start)
			}
		}
	}
	if slowest == "" {
		return fmt.Errorf("onejob explain tells of no start")
	}
	fmt.Fprintf(d.out, "\nThe slowest start: %s\n", slowest)
	return nil
}
