package main

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/onejob-dev/onejob/simulator"
)

// person plays somebody at the page, whose buttons use the same control API.
type person struct{ canceled, unblocked bool }

// click cancels the endless job once it runs, and unblocks the block step once it
// waits for that.
func (p *person) click(sim *simulator.Simulator, page string, number int) {
	for _, job := range sim.Jobs() {
		log, _ := sim.Log(job.ID)
		if p.canceled || job.StepKey != "endless" || job.State != simulator.StateRunning || !bytes.Contains(log, []byte("for ever")) {
			continue
		}
		p.canceled = post(page+"_sim/jobs/"+job.ID+"/cancel", "")
	}
	b, _ := sim.Build(number)
	for _, step := range b.Steps {
		if !p.unblocked && step.State == "waiting_for_input" {
			p.unblocked = post(page+"_sim/steps/"+step.ID+"/unblock", `{"fields":{"who":"the demo"}}`)
		}
	}
}

func post(url, body string) bool {
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// demoBuild is a build of the example, with the plugin's URL filled in as an
// upload would.
func demoBuild(repo, plugin string) simulator.BuildRequest {
	return simulator.BuildRequest{Pipeline: pipeline, Repo: repo, Message: "make demo", Interpolate: map[string]string{"GREETER": plugin}}
}
