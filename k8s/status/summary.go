package status

import (
	"fmt"
	"strings"
)

// summary says in one sentence how the queues are.
func summary(c Cluster) string {
	if !c.Leads {
		return "This replica doesn't lead, and knows of no job. " + leader(c)
	}
	states, pending, waiting := map[string]int{}, 0, 0
	for _, q := range c.Queues {
		states[q.State]++
		waiting += q.Waiting
		for _, p := range q.Pending {
			pending += p.Jobs
		}
	}
	var parts []string
	for _, s := range []string{Stopped, Starting, Paused, Ready} {
		if n := states[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", many(n, "queue"), s))
		}
	}
	return fmt.Sprintf("%s. %s on the way to the start, %s for a slot.", strings.Join(parts, ", "), many(pending, "job"), wait(waiting))
}

// leader says who leads, as far as is known.
func leader(c Cluster) string {
	if c.Leader == "" {
		return "Nobody is known to lead."
	}
	return "The leader is " + c.Leader + "."
}

func wait(n int) string {
	if n == 1 {
		return "1 waits"
	}
	return fmt.Sprintf("%d wait", n)
}

func many(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
