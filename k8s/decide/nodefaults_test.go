package decide

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/onejob-dev/onejob/contract"
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
