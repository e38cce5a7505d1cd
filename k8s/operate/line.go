package operate

import (
	"context"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
	"github.com/onejob-dev/onejob/stacks"
)

// AskLine finds out how far back a job is that waits for a slot of its queue, as far as a
// scheduler looks at the list, and then says so. client may be nil.
func (s *Story) AskLine(ctx context.Context, kube kube.Client, client *stacks.Client, own config.Queue) {
	if client == nil || s.State != stacks.StateScheduled || len(s.Attempts) > 0 {
		return
	}
	var listed []stacks.Job
	at := -1
	for cursor, pages := "", 0; pages < listedPages; pages++ {
		page, err := client.ScheduledJobs(ctx, cursor, stacks.MaxBatch)
		if err != nil || page.Paused {
			return // what the story has so far is as good
		}
		for _, j := range page.Jobs {
			if !stacks.Match(j.Rules, own.Tags) {
				continue
			}
			if j.ID == s.JobID {
				at = len(listed)
			}
			listed = append(listed, j)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if at < 0 {
		return // its tags are others, or it was taken this moment
	}
	ahead := 0
	for i, j := range listed {
		if order := stacks.Before(j, listed[at]); order < 0 || order == 0 && i < at {
			ahead++
		}
	}
	rows, err := List(ctx, kube, own.Namespace, "")
	if err != nil {
		return
	}
	held := 0
	for _, r := range rows {
		if r.Queue == kjob.LabelValue(own.Name) && r.JobID != "" && !r.Finished {
			held++
		}
	}
	if most := *own.MaxInFlight; most > 0 && held >= most { // else it waits for something else
		s.Now = decide.Ahead(ahead, held, most)
	}
}
