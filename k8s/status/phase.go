package status

// Phases are a job's, in the order in which they are shown: what waits for help first.
var Phases = []string{"lost", "failed", "reserved", "created", "suspended", "pending", waiting, "deleting", "running", "ended", "done"}

// waiting is the phase of a job that Buildkite has, until there is a slot for it.
const waiting = "waiting"

// Phased is how many jobs are in a phase.
type Phased struct {
	Phase string `json:"phase"`
	Jobs  int    `json:"jobs"`
}

// byPhase counts all jobs, in the order of Phases. Of those that wait a queue may have
// only the first, and counts all.
func byPhase(c Cluster) []Phased {
	n, wait := map[string]int{}, 0
	for _, j := range c.Jobs {
		n[j.Phase]++
	}
	for _, q := range c.Queues {
		wait += q.Waiting
	}
	n[waiting] = max(n[waiting], wait)
	out := []Phased{}
	for _, phase := range Phases {
		if n[phase] > 0 {
			out = append(out, Phased{phase, n[phase]})
		}
	}
	return out
}
