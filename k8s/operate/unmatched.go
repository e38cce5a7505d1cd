package operate

import (
	"context"
	"strconv"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/stacks"
)

// AdviceUnmatched is for a job whose tags no queue has.
const AdviceUnmatched = "change the step's agents, or the queue's tags in onejob.yaml; `onejob reacquire` makes a Kubernetes Job nevertheless"

// AskTags finds out whether a job without a kjob waits because of its tags, and then
// says so. client may be nil; own is the job's queue.
func (s *Story) AskTags(ctx context.Context, client *stacks.Client, own config.Queue, all []config.Queue) {
	if client == nil || s.State != stacks.StateScheduled || len(s.Attempts) > 0 {
		return
	}
	job, listed, err := client.ScheduledJob(ctx, s.JobID)
	if err != nil || !listed {
		return // taken this moment; what the story has so far is as good
	}
	if text := config.Unmatched(job.Rules, own, all); text != "" {
		s.Now, s.Advice = text, AdviceUnmatched
	}
}

// listedPages is how many pages of a queue's list are looked at: as many as the
// scheduler does.
const listedPages = 20

// ListUnmatched are the jobs that Buildkite has scheduled in a queue and that
// wait for their tags, as far as a scheduler looks at the list.
func ListUnmatched(ctx context.Context, client *stacks.Client, own config.Queue, all []config.Queue) ([]Row, error) {
	var rows []Row
	for cursor, pages := "", 0; pages < listedPages; pages++ {
		page, err := client.ScheduledJobs(ctx, cursor, stacks.MaxBatch)
		if err != nil {
			return rows, err
		}
		for _, j := range page.Jobs {
			if why, _ := config.Lack(j.Rules, own, all); why != "" {
				rows = append(rows, Row{JobID: j.ID, Queue: own.Name, Namespace: own.Namespace, Phase: "unmatched", Reason: why,
					Pipeline: j.Pipeline, Build: strconv.Itoa(j.Build), Step: j.Step, CreatedAt: j.ScheduledAt})
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return rows, nil
}
