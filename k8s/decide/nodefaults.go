package decide

import (
	"slices"
	"strings"

	"github.com/onejob-dev/onejob/contract"
)

// nodeFault is an attempt that ended before it acquired the job, because of its node.
// The next attempt should use another node.
type nodeFault struct{ node, why string }

// NodeFaults are the node faults of a job's attempts, the oldest first. Each kjob has
// those of the attempts before it in an annotation, beside their history.
type NodeFaults []nodeFault

const (
	maxNodeFaults = 8
	// faultContract: the node's image is of another release. faultStart: a container could
	// not be started there. The others are the runner's outcomes, and a Failure's.
	faultContract, faultStart = "contract", "start"
)

// fault is why the attempt ended, if that was because of its node; else empty. A runner that
// waited for another container of its pod says only that it was stopped.
func (f Facts) fault() string {
	if why := outcomeFault(f.Pod.Message); why != "" {
		return why
	}
	switch {
	case f.Removed == ReasonContainer:
		return faultStart
	case f.Pod.Message == nil:
		return f.Pod.Broke.fault()
	}
	return ""
}

func outcomeFault(m *contract.Message) string {
	switch {
	case m == nil:
		return ""
	case m.Outcome == contract.OutcomeUntrusted, m.Outcome == contract.OutcomeUnready:
		return string(m.Outcome)
	case m.Outcome == contract.OutcomeContract, m.Outcome == contract.OutcomeConfig && m.Contract < contract.Newest:
		return faultContract // older runners have no word of its own for it
	}
	return ""
}

// NodeFaults are those of the attempts before it, and its own.
func (f Facts) NodeFaults() NodeFaults {
	why := f.fault()
	if why == "" {
		return f.Faults
	}
	one := nodeFault{f.Pod.Node, why}
	all := append(slices.DeleteFunc(slices.Clone(f.Faults), func(o nodeFault) bool { return o == one }), one)
	return all[max(0, len(all)-maxNodeFaults):]
}

func (fs NodeFaults) had(why string) bool {
	return slices.ContainsFunc(fs, func(f nodeFault) bool { return f.why == why })
}

// Annotation is what ParseNodeFaults reads.
func (fs NodeFaults) Annotation() string {
	var all []string
	for _, f := range fs {
		all = append(all, f.node+"="+f.why)
	}
	return strings.Join(all, ",")
}

// ParseNodeFaults reads what NodeFaults.Annotation wrote.
func ParseNodeFaults(annotation string) (fs NodeFaults) {
	for one := range strings.SplitSeq(annotation, ",") {
		if node, why, ok := strings.Cut(one, "="); ok {
			fs = append(fs, nodeFault{node, why})
		}
	}
	return fs[max(0, len(fs)-maxNodeFaults):]
}

// Nodes are the nodes on which attempts failed, each once.
func (fs NodeFaults) Nodes() (names []string) {
	for _, f := range fs {
		if f.node != "" && !slices.Contains(names, f.node) {
			names = append(names, f.node)
		}
	}
	return names
}
