package acquire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/jitter"
)

// Bounds of the heartbeat's interval, whatever the server says. Buildkite gives up an
// agent after three minutes of silence, and notices that within another minute
// (docs/protocol.md#heartbeat). The server names an interval of two minutes: then one
// failed beat is one too many. One more beat a minute costs less than a lost job.
const (
	heartbeatDefault = time.Minute
	heartbeatMin     = time.Second
	heartbeatMax     = time.Minute
	// heartbeatLatest is the longest time between an accepted beat and sending the next
	// one, whatever Retry-After says. It leaves time for a request that hangs until its
	// timeout, and a second one, before the three minutes are over.
	heartbeatLatest  = 150 * time.Second
	heartbeatTimeout = 20 * time.Second
	// LostAfter is after how long a silence Buildkite may have given up the agent's job.
	LostAfter = 3 * time.Minute
	// missingFor is how long a 404 is retried for a session that had a success before:
	// in a partition Buildkite has answered 404 to live agents
	// (docs/protocol.md#transport).
	missingFor = 2 * time.Minute
)

// beats records when Buildkite last heard from the session, at the earliest, and the
// longest time in which it may not have.
type beats struct {
	mu      sync.Mutex
	last    time.Time
	silence time.Duration
}

// heard notes a beat that was sent at the given time and has been answered now.
func (b *beats) heard(sent time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.silence = max(b.silence, time.Since(b.last))
	}
	b.last = sent
}

func (b *beats) since() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Since(b.last)
}

// Silence is the longest time in which Buildkite may not have heard from the session,
// up to now. From LostAfter on Buildkite may have ended its job, even if the session
// beats again.
func (s *Session) Silence() time.Duration {
	s.beats.mu.Lock()
	defer s.beats.mu.Unlock()
	return max(s.beats.silence, time.Since(s.beats.last))
}

// Heartbeat tells Buildkite that the session is alive, until ctx ends; then it returns
// nil. The interval is the server's, a minute at most, less up to a tenth of jitter. It
// returns an error only when the session can't recover: Buildkite itself refuses it
// with a 4xx, or with 404 for two minutes. A beat that fails otherwise is repeated
// within seconds, or when the server asked for it and up to a quarter of that later, so
// that a thousand sessions don't beat in the same second. It never comes later than
// heartbeatLatest after the last accepted beat.
func (s *Session) Heartbeat(ctx context.Context) error {
	interval := Seconds(s.reply.HeartbeatInterval, heartbeatDefault, heartbeatMin, heartbeatMax)
	again := Backoff{Base: time.Second, Cap: 10 * time.Second, JitterMax: time.Second}
	var missing time.Time // since when it is answered 404
	wait := func() time.Duration { return interval - s.client.conf.Rand.Between(0, interval/10) }
	for next, failed := wait(), 0; ; {
		if !jitter.Sleep(ctx, next) {
			return nil
		}
		err := s.beat(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the beat's error is that of ctx
		}
		var retry *RetryError
		if !errors.As(err, &retry) {
			next, failed, missing = wait(), 0, time.Time{}
			continue
		}
		if retry.Status != http.StatusNotFound {
			missing = time.Time{}
		} else if missing.IsZero() {
			missing = time.Now()
		}
		if errors.Is(err, ErrRejected) && (missing.IsZero() || time.Since(missing) >= missingFor) {
			return fmt.Errorf("heartbeat: %w", refusal(err))
		}
		next = again.Delay(failed, s.client.conf.Rand)
		if asked := time.Until(retry.NotBefore); asked > 0 { // long ago, if it is zero
			next = s.after(asked)
		}
		failed++
		s.log.WarnContext(ctx, "heartbeat failed, will retry", "status", retry.Status, "err", retry.Last, "failed", failed, "retry_in", next)
	}
}

// beat sends one heartbeat.
func (s *Session) beat(ctx context.Context) error {
	once := Backoff{Attempts: 1, Deadline: heartbeatTimeout, Timeout: heartbeatTimeout}
	sent := time.Now()
	err := s.client.call("heartbeat", once).Do(ctx, func(ctx context.Context, _ int) (*api.Response, error) {
		_, resp, err := s.api.Heartbeat(ctx)
		return resp, err
	})
	if err == nil {
		s.beats.heard(sent)
	}
	return err
}

// after is the wait that the server asked for, as far as the session can bear it.
func (s *Session) after(asked time.Duration) time.Duration {
	bearable := heartbeatLatest - s.beats.since()
	floor := min(asked, max(bearable, 10*time.Second)*4/5)
	return floor + s.client.conf.Rand.Between(0, floor/4)
}
