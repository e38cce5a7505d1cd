package decide

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/stacks"
)

func TestDecideEarlier(t *testing.T) {
	pods := func(phases ...corev1.PodPhase) (of []Pod) {
		for _, phase := range phases {
			of = append(of, Pod{Phase: phase, Node: "node"})
		}
		return of
	}
	const over, runs = corev1.PodFailed, corev1.PodRunning
	lingers := func(helper string) []Pod {
		return []Pod{{Phase: runs, Node: "node", Ended: true, Helper: helper}}
	}
	for _, tt := range []struct {
		name      string
		suspended bool
		pods      []Pod
		ago       time.Duration
		want      Reason // of its deletion
		unplaced  bool
		again     bool
	}{
		{"suspended", true, pods(runs), 0, ReasonSuspended, false, false},
		{"its pod runs", false, pods(runs), time.Hour, "", false, false},
		{"one of its pods runs", false, pods(over, runs), time.Hour, "", false, false},
		{"one of its pods runs, the other is over", false, pods(runs, over), time.Hour, "", false, false},
		{"its pod is over", false, pods(over), endGrace - time.Second, "", false, true},
		{"its pod has been over for long", false, pods(over), endGrace, ReasonUnended, false, false},
		{"its agent container is over, another one isn't", false, lingers("proxy"), 0, ReasonHelper, false, false},
		{"its agent container is over, and the kubelet stops another one", false, lingers(""), 0, "", false, true},
		{"no pod", false, nil, stuckGrace - time.Second, "", false, true},
		{"no pod for long", false, nil, stuckGrace, ReasonUnended, true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := AttemptKJob{Number: 1, KJob: KJob{UID: "k", Suspended: tt.suspended}}
			got := Superseded(k, tt.pods, t0.Add(-tt.ago), t0)
			if (got.Action == Delete) != (tt.want != "") || got.Reason != tt.want || got.Unplaced != tt.unplaced || got.Again.IsZero() == tt.again {
				t.Errorf("got %+v, want %+v", got, tt)
			}
		})
	}
}

// An attempt is over when its agent container is, and what runs on is stopped.
func TestDecideLingering(t *testing.T) {
	helper := func(name string) func(*Facts) {
		return func(f *Facts) {
			f.KJob.Finished, f.Pod.Phase, f.Pod.Ended, f.Pod.Helper = false, corev1.PodRunning, true, name
		}
	}
	ago := func(d time.Duration) func(*Facts) { return func(f *Facts) { f.OverAt = t0.Add(-d) } }
	terminating := func(f *Facts) { f.Pod.Terminating = true }
	gone := func(f *Facts) { f.KJob.Exists, f.KJob.Gone, f.Removed = false, true, ReasonHelper }
	const reserved, running, finished = stacks.StateReserved, stacks.StateRunning, stacks.StateFinished
	for _, tt := range []struct {
		name   string
		facts  factsBuilder
		action Action
		reason Reason
		says   string
		again  time.Duration // from t0
	}{
		{"0, just now", aKJob().Exits(0).State(finished).but(helper("proxy")), None, ReasonFinished, "", HelperGrace - time.Second},
		{"0", aKJob().Exits(0).State(finished).but(helper("proxy")).but(ago(HelperGrace)), Delete, ReasonHelper, "container proxy of pod p had not ended when the agent container ended; attempt 1 is done", 0},
		{"0, state older", aKJob().Exits(0).StateBefore(running).but(helper("proxy")).but(ago(HelperGrace)), Ask, ReasonHelper, "", 0},
		{"0, and Buildkite is late", aKJob().Exits(0).State(running).but(helper("proxy")).but(ago(HelperGrace)), Delete, ReasonHelper, "", 0},
		{"0, and a native sidecar", aKJob().Exits(0).State(finished).but(helper("")).but(ago(time.Minute)), None, ReasonFinished, "", time.Minute},
		{"0, and a native sidecar that isn't stopped", aKJob().Exits(0).State(finished).but(helper("")).but(ago(2 * time.Minute)), Delete, ReasonHelper, "a native sidecar of pod p", 0},
		{"0, its pod deleted", aKJob().Exits(0).State(finished).but(helper("proxy")).but(terminating).but(ago(time.Minute)), None, ReasonFinished, "", time.Minute},
		{"0, and offered again", aKJob().Exits(0).State(reserved).but(helper("proxy")).but(ago(endGrace - time.Second)).but(func(f *Facts) { f.EndedAt = t0.Add(-stateLag) }), None, ReasonOfferAgain, "onejob leaves it alone", time.Second},
		{"0, and offered again for long", aKJob().Exits(0).State(reserved).but(helper("proxy")).but(ago(endGrace)), Delete, ReasonHelper, "", 0},
		{"27", aKJob().Exits(27).State(reserved).but(helper("proxy")).but(ago(HelperGrace)), Attempt, ReasonRejected, "", 0},
		{"75, and a pod of an earlier attempt", aKJob().Exits(75).State(reserved).but(helper("proxy")).but(ago(time.Hour)).but(func(f *Facts) { f.OtherPodLives = "q" }), None, ReasonExhausted, "", 0},
		{"27, and another agent has the job", aKJob().Exits(27).State(running).but(helper("proxy")).but(ago(HelperGrace)), Delete, ReasonHelper, "", 0},
		{"27, its kjob deleted for that", aKJob().Exits(27).State(reserved).but(helper("proxy")).but(gone), Attempt, ReasonRejected, "was refused the job", 0},
		{"75, just now", aKJob().Exits(75).State(reserved).but(helper("proxy")), Attempt, ReasonExhausted, "", 0},
		{"75, its pod deleted", aKJob().Exits(75).State(reserved).but(helper("proxy")).but(terminating).but(ago(HelperGrace)), Attempt, ReasonExhausted, "the runner's words", 0},
		{"75, and a native sidecar", aKJob().Exits(75).State(reserved).but(helper("")).but(ago(HelperGrace)), Attempt, ReasonExhausted, "", 0},
		{"75, and taken by another agent", aKJob().Exits(75).State(running).but(helper("proxy")).but(ago(HelperGrace)), Delete, ReasonHelper, "attempt 1 is ended: : the runner's words", 0},
		{"75, its kjob deleted for that", aKJob().Exits(75).State(reserved).but(helper("proxy")).but(gone), Attempt, ReasonExhausted, "the runner's words", 0},
		{"78", aKJob().Exits(78).State(reserved).but(helper("proxy")), Finish, ReasonConfig, "", 0},
		{"out of memory", aKJob().Lost().State(running).but(helper("proxy")).but(finishLost), Finish, ReasonLostAfter, "OOMKilled, exit code 137", 0},
		{"out of memory, and finished", aKJob().Lost().State(finished).but(helper("proxy")).but(ago(HelperGrace)), Delete, ReasonHelper, "attempt 1 is lost: it ran out of memory: OOMKilled, exit code 137", 0},
		{"lost before acquisition", aKJob().Lost().State(reserved).but(helper("proxy")), Attempt, ReasonLost, "OOMKilled", 0},
		{"lost before acquisition, its kjob deleted for that", aKJob().Lost().State(reserved).but(helper("proxy")).but(gone), Attempt, ReasonLost, "OOMKilled", 0},
		{"out of memory, its kjob deleted for that", aKJob().Lost().State(finished).but(helper("proxy")).but(gone), None, ReasonLost, "", 0},
		{"its end not seen", aKJob().Lost().State(running).but(helper("proxy")).but(func(f *Facts) { f.Pod.Ended, f.Pod.Exited = false, false }), None, "", "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := On(tt.facts.Facts)
			if got.Action != tt.action || got.Reason != tt.reason || !strings.Contains(got.Text+got.Why, tt.says) || tt.again != 0 && !got.Again.Equal(t0.Add(tt.again)) {
				t.Errorf("got  %+v\nwant %+v", got, tt)
			}
		})
	}
}
