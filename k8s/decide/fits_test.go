package decide

import (
	"strings"
	"testing"
	"time"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// On a job's page a notification is cut at its end: what happened and what to do are
// before that, also with names as long as clouds have them.
func TestNotificationsFit(t *testing.T) {
	const (
		pod   = "onejob-018f0000-0000-7000-8000-00000000000a-12-x7k2p"
		node  = "ip-10-0-131-207.eu-central-1.compute.internal"
		image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/onejob-agent:v1.2.3"
	)
	long := func(f *Facts) {
		f.Attempt, f.Pod.Name, f.Pod.Image = 12, pod, image
		if f.Pod.Node != "" {
			f.Pod.Node = node
		}
		if f.Pod.WaitingMessage != "" {
			f.Pod.WaitingMessage = strings.Repeat("failed to pull and unpack image "+image+" ", 3)
		}
	}
	onNode := func(f *Facts) { f.Pod.Node = node }
	terminating := func(f *Facts) { f.KJob.Terminating, f.KJob.DeletedAt = true, t0.Add(-2*time.Minute) }
	stopping := func(f *Facts) {
		f.Pod.Terminating, f.Pod.GoneBy = true, t0.Add(-statusLag)
		f.Pod.Why, f.Pod.WhyMessage = "DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"
	}
	other := func(f *Facts) { f.OtherPodLives, f.OtherNode, f.EndedAt = pod, node, t0.Add(-2*time.Minute) }
	idle := func(f *Facts) { f.Pod.StartedAt = t0.Add(-15 * time.Minute) }
	held := func(f *Facts) { f.HeldAt = t0.Add(-time.Minute) }
	const deleteNode = "if node " + node + " is gone for good, delete it (kubectl delete node)"
	for _, tt := range []struct {
		name  string
		facts factsBuilder
		says  string // at its end
	}{
		{"terminating", aKJob().State(contract.JobReserved).but(terminating).but(onNode), deleteNode},
		{"another pod lives", aKJob().Exits(75).State(contract.JobReserved).but(other), deleteNode},
		{"told to stop", aKJob().Age(time.Hour).State(contract.JobReserved).but(onNode).but(stopping), deleteNode},
		{"idle", aKJob().Running().State(contract.JobReserved).but(idle), "the template runs another command"},
		{"taken", aKJob().Waiting("ImagePullBackOff", "no", time.Hour).State(contract.JobRunning).but(held), "onejob keeps the pod until its node reports again"},
		{"no image", aKJob().Waiting("ImagePullBackOff", "no", time.Minute).State(contract.JobReserved), "check that it exists and that the pod may pull it"},
		{"not run", aKJob().Exits(70).State(contract.JobRunning), "Buildkite ends it with -1"},
		{"lost", aKJob().Lost().State(contract.JobRunning), "exit code 137"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := On(tt.facts.but(long).Facts)
			if got := contract.Line(d.Text, stacks.MaxNotification); !strings.Contains(got, tt.says) {
				t.Errorf("%s says %q of %q, want %q in it", d.Action, got, d.Text, tt.says)
			}
		})
	}
}
