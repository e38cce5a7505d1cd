package launcher

import (
	"slices"
	"strings"
)

// effective are the pinned agent's experiments that take effect in the bootstrap or in
// the job's agent commands, which get the list. pty-raw is one of both; the terminal
// between us and the bootstrap stays as it is.
var effective = []string{
	"allow-artifact-path-traversal", "interpolation-prefers-runtime-env", "normalised-upload-paths",
	"pty-raw", "resolve-commit-after-checkout", "zip-plugins",
}

// noEffect are the experiments of the agent's own process, which onejob-agent replaces,
// each with what that means here.
var noEffect = map[string]string{
	"agent-api":                    "locks are between the jobs of one host, and a pod has one: use a concurrency group",
	"descending-spawn-priority":    "one process, one job",
	"override-zero-exit-on-cancel": "it is for Windows",
	"propagate-agent-config-vars":  "name the variables that a container needs",
}

// experiments sorts the requested experiments into those that have an effect and all
// others.
func (o *Options) experiments() (working, without []string) {
	for _, e := range o.Experiment {
		e = strings.TrimSpace(e)
		switch {
		case e == "" || slices.Contains(working, e) || slices.Contains(without, e):
		case slices.Contains(effective, e):
			working = append(working, e)
		default:
			without = append(without, e)
		}
	}
	return working, without
}

// withoutEffect says why experiment e has none.
func withoutEffect(e string) string {
	if reason, ok := noEffect[e]; ok {
		return reason
	}
	return "this version of the agent has no such experiment: it is misspelt, or a plain feature by now"
}
