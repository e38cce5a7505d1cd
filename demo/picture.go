package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/onejob-dev/onejob/jitter"
	"github.com/onejob-dev/onejob/k8s/status"
	"github.com/onejob-dev/onejob/simulator"
)

//go:embed picture.yml
var picturePipeline []byte

// config is the scheduler's.
func (d *kubeDemo) config() string {
	if d.screenshot == "" {
		return schedulerConfig
	}
	return pictureConfig(schedulerConfig)
}

// pictureConfig is a configuration with further queues: one that asks for what no node
// has, one whose image isn't there, and one that is paused.
func pictureConfig(config string) string {
	one := strings.TrimPrefix(config, "queues:\n")
	with := func(name string, changes ...string) string {
		return strings.NewReplacer(append([]string{"name: default", "name: " + name}, changes...)...).Replace(one)
	}
	return config +
		with("gpu", "{requests: {cpu: 10m, memory: 32Mi}}", "{requests: {cpu: 10m, memory: 32Mi}, limits: {example.com/gpu: 1}}", "max-in-flight: 8", "max-in-flight: 4") +
		with("images", "localhost/onejob-agent:dev", "registry.example.com/builder:v9", "max-in-flight: 8", "max-in-flight: 2") +
		with("release", "max-in-flight: 8", "max-in-flight: 1")
}

// picture makes the picture of the status page, when the demo is over: of its jobs, and of
// others that run, wait and can't start.
func (d *kubeDemo) picture(ctx context.Context, page string) error {
	file, err := filepath.Abs(d.screenshot)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nMaking %s …\n", d.screenshot)
	sim := d.fixture.Simulator
	if err := sim.SetQueuePaused("release", true); err != nil {
		return err
	}
	for branch, slug := range map[string]string{"main": "web", "checkout-fix": "api"} {
		request := simulator.BuildRequest{Pipeline: picturePipeline, Slug: slug, Branch: branch, Repo: d.fixture.URL + "git/demo.git"}
		if _, err := sim.CreateBuild(request); err != nil {
			return err
		}
	}
	poor := d.shows(ctx, page)
	raw := filepath.Join(d.dir, "status.png")
	cmd := exec.CommandContext(ctx, "chromium", "--headless", "--no-sandbox", "--hide-scrollbars", "--disable-lcd-text", "--disable-background-networking", "--disable-component-update",
		"--user-data-dir="+filepath.Join(d.dir, "chromium"), "--force-device-scale-factor=1.5", "--window-size=1280,1300", "--screenshot="+raw, page)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("chromium: %w: %s", err, out)
	}
	b, err := os.ReadFile(raw)
	if err == nil {
		b, err = shrink(b)
	}
	if err != nil {
		return err
	}
	return errors.Join(poor, os.WriteFile(file, b, 0o644)) //nolint:gosec // a picture for everybody
}

// shows waits until the page has what there is to see.
func (d *kubeDemo) shows(ctx context.Context, page string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 3*time.Minute, fmt.Errorf("the status page has too little to show"))
	defer cancel()
	want := map[string]int{"pending": 2, "waiting": 3, "running": 6}
	for {
		has, err := phases(ctx, page)
		if err != nil {
			return err
		}
		enough := true
		for phase, n := range want {
			enough = enough && has[phase] >= n
		}
		if enough {
			return nil
		}
		if !jitter.Sleep(ctx, time.Second) {
			return fmt.Errorf("%w: %v", context.Cause(ctx), has)
		}
	}
}

// phases are how many jobs the page has in each.
func phases(ctx context.Context, page string) (map[string]int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page+"?format=json", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var said struct {
		Phases []status.Phased `json:"jobs_by_phase"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&said); err != nil {
		return nil, err
	}
	has := map[string]int{}
	for _, p := range said.Phases {
		has[p.Phase] = p.Jobs
	}
	return has, nil
}
