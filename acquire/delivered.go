package acquire

import (
	"context"
	"net/http"
	"time"

	"github.com/buildkite/agent/v3/api"
)

// Delivered decides, after the reply to a finish may have been lost and a later
// one was refused, whether the job is finished at Buildkite. client has the
// job's token.
//
// Known: the stock agent reads GET jobs/:id with the job's token while the job
// runs, and takes a 401 for the end of its right to the job
// (reference/protocol.md §A.3). Guessed: that Buildkite refuses a job's token
// once the job is finished. So "finished" counts as delivered, and so does a
// job's own token that is refused now: it was good for the finish that was
// answered last. A session's token, which stands in where the server gave the
// job none, may be refused for other reasons and proves nothing.
func Delivered(ctx context.Context, client *api.Client, job *api.Job, count func(string)) bool {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if count != nil {
		count("job_state")
	}
	state, resp, err := client.GetJobState(ctx, job.ID)
	if err != nil {
		return job.Token != "" && statusOf(resp) == http.StatusUnauthorized
	}
	return OverState(state.State)
}

// OverState reports a state in which a job has a result.
// (States: reference/protocol.md §E.)
func OverState(state string) bool {
	switch state {
	case "finished", "canceled", "timed_out", "skipped", "broken", "expired":
		return true
	}
	return false
}
