package launcher

import (
	"slices"
	"strings"
)

// noEffect are the agent's experiments that happen in the agent's own process,
// by code that only it can use, each with what that means here. The others
// happen in the bootstrap and in the job's agent commands, which get the list
// (pty-raw in both: the terminal between us and the bootstrap stays as it is).
var noEffect = map[string]string{
	"agent-api":                    "locks are between the jobs of one host, and a pod has one: use a concurrency group",
	"descending-spawn-priority":    "one process, one job",
	"override-zero-exit-on-cancel": "it is for Windows",
	"propagate-agent-config-vars":  "name the variables that a container needs",
}

// experiments are those that have an effect, and those in noEffect.
func (o *Options) experiments() (working, without []string) {
	for _, e := range o.Experiment {
		e = strings.TrimSpace(e)
		switch _, none := noEffect[e]; {
		case e == "" || slices.Contains(working, e):
		case none:
			without = append(without, e)
		default:
			working = append(working, e)
		}
	}
	return working, without
}
