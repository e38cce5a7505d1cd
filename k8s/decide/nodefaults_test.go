package decide

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/stacks"
)

// Of many nodes the last few are remembered, and each once.
func TestNodeFaultsAreBounded(t *testing.T) {
	var fs NodeFaults
	for n := range 100 {
		f := Facts{Faults: fs, Pod: Pod{Node: fmt.Sprint("node-", n/2), Message: &contract.Message{Outcome: contract.OutcomeUnready}}}
		fs = f.NodeFaults()
	}
	if want := (NodeFaults{{"node-42", "unready"}, {"node-49", "unready"}}); len(fs) != maxNodeFaults || fs[0] != want[0] || fs[7] != want[1] {
		t.Errorf("%v", fs)
	}
	if diff := cmp.Diff(fs, ParseNodeFaults(fs.Annotation()), cmp.AllowUnexported(nodeFault{})); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if got := ParseNodeFaults(""); len(got) != 0 {
		t.Errorf("no annotation is %v", got)
	}
}

// TestNodeThatCantStartAContainer: what another node may do better gets one more pod, which
// would rather have another node. What no node can do ends the job, and so does the second
// time.
func TestNodeThatCantStartAContainer(t *testing.T) {
	for _, tt := range []struct {
		name           string
		agent, command corev1.ContainerState
		want, again    Action
	}{
		{"the command's, as the runtime has no image volumes", runs, waitsOn("CreateContainerError"), Delete, Finish},
		{"the command's, which ended at once", runs, endsWith(1, "Error", "onejob-step: no room"), Delete, Finish},
		{"the runner's", waitsOn("RunContainerError"), waitsOn("ContainerCreating"), Delete, Finish},
		{"the runner's image, which this node doesn't have", waitsOn("ErrImageNeverPull"), waitsOn("ContainerCreating"), Delete, Finish},
		{"a Secret is missing", runs, waitsOn("CreateContainerConfigError"), Finish, Finish},
		{"an image is missing", runs, waitsOn("ImagePullBackOff"), Finish, Finish},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := aKJob().State(stacks.StateReserved).but(func(f *Facts) {
				f.Pod, f.Policy.Mounted = OfPod(withCommand(tt.agent, tt.command)), true
				f.FailingSince, f.EventsAt = t0.Add(-3*time.Minute), t0
			}).Facts
			d := On(f)
			if d.Action != tt.want {
				t.Fatalf("%+v, want %s", d, tt.want)
			}
			if d.Action == Delete {
				gone := f
				gone.KJob.Gone, gone.KJob.Exists, gone.Removed, gone.EndedAt, gone.StateAt, gone.ToldAt = true, false, d.Reason, t0, t0, t0
				stopped := gone.Pod // a runner that waited for the command's container
				stopped.Phase, stopped.Message = corev1.PodFailed, &contract.Message{Outcome: contract.OutcomeStopped, ExitCode: contract.ExitTerminated, Received: "SIGTERM"}
				for _, last := range []Pod{gone.Pod, stopped, {Name: "p", Node: "node", Phase: corev1.PodFailed}} { // the kubelet may have the last word
					last.Deleted = true
					gone.Pod = last
					next, nodes := On(gone), gone.NodeFaults().Nodes()
					if next.Action != Attempt || next.Reason != ReasonContainer || !slices.Equal(nodes, []string{"node"}) || strings.HasSuffix(next.Text, ": ") {
						t.Errorf("after the deletion %+v, avoiding %q; want an attempt that avoids the node", next, nodes)
					}
				}
			}
			f.Attempt, f.Story = 3, History{{Reason: ReasonContainer, Attempt: 1}, {Reason: ReasonLost, Attempt: 2}}
			if d := On(f); d.Action != tt.again {
				t.Errorf("the next time %+v, want %s", d, tt.again)
			}
		})
	}
}
