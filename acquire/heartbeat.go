package acquire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/jitter"
)

// Bounds of the heartbeat's interval, whatever the server says. Buildkite takes
// an agent for lost after three to four minutes of silence
// (docs/protocol.md#heartbeat), so a minute is also what an unset interval means.
const (
	heartbeatDefault = time.Minute
	heartbeatMin     = time.Second
	heartbeatMax     = 10 * time.Minute
	// The longest Retry-After that is waited for. With its jitter and a minute
	// since the beat before it is 172 s: below those three minutes.
	heartbeatPatience = 90 * time.Second
)

// Heartbeat tells Buildkite at the server's interval, less up to a tenth of
// jitter, that the session is alive, until ctx ends; then it returns nil. It
// returns an error only when the session can't recover: Buildkite itself refuses
// it with a 4xx. Beats that fail otherwise are retried, then logged and skipped,
// as in the stock agent; the next one comes no sooner than the server asked for,
// within reason, and up to a quarter of that later, so that a thousand sessions
// that were all told the same moment don't beat in the same second.
func (s *Session) Heartbeat(ctx context.Context) error {
	interval := Seconds(s.reply.HeartbeatInterval, heartbeatDefault, heartbeatMin, heartbeatMax)
	beat := s.client.call("heartbeat", Backoff{
		Attempts: 10, Base: time.Second, Cap: 10 * time.Second, JitterMax: time.Second,
		Deadline: 90 * time.Second, Timeout: 20 * time.Second,
	})
	beat.Log = s.log
	var asked time.Duration
	for {
		wait := interval - s.client.conf.Rand.Between(0, interval/10)
		floor := min(asked, heartbeatPatience)
		if !jitter.Sleep(ctx, max(wait, floor+s.client.conf.Rand.Between(0, floor/4))) {
			return nil
		}
		err := beat.Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
			_, resp, err := s.api.Heartbeat(ctx)
			return resp, err
		})
		asked = 0
		if retry := (*RetryError)(nil); errors.As(err, &retry) {
			asked = time.Until(retry.NotBefore) // long ago, if it is zero
		}
		if ctx.Err() == nil && errors.Is(err, ErrRejected) {
			return fmt.Errorf("heartbeat: %w", refusal(err))
		}
	}
}
