package scheduler

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/onejob-dev/onejob/k8s/config"
	"github.com/onejob-dev/onejob/k8s/decide"
	"github.com/onejob-dev/onejob/k8s/kjob"
	"github.com/onejob-dev/onejob/k8s/kube"
)

const (
	// snapshotsEvery is how often a queue that has work looks for the newest snapshot of its
	// git mirrors, and snapshotsWithin how long its poll waits for one look.
	snapshotsEvery  = 30 * time.Second
	snapshotsWithin = 3 * time.Second
	// snapshotKept is how long a snapshot is used that nobody could confirm: whoever makes
	// snapshots deletes old ones, and a volume of a deleted one keeps its pod pending.
	snapshotKept = 10 * time.Minute
)

// errNoMirrors: the queue's jobs are run without git mirrors. A mirror only saves time, so no
// job waits for one.
var errNoMirrors = errors.New("its jobs have no git mirrors, and clone")

// mirrors is the snapshot that a queue's git mirrors are made of, as last seen. The zero
// value has none, and looks at once.
type mirrors struct {
	mu        sync.Mutex
	of        *config.Snapshot
	name      string
	why       error // why there is none, although the queue asks for it
	asked, at time.Time
}

// now is the name of the snapshot for a queue's setting, empty if its pods get none, and why
// they get none although they should.
func (m *mirrors) now(of *config.Snapshot) (name string, why error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if of == nil || !reflect.DeepEqual(m.of, of) {
		return "", nil
	}
	return m.name, m.why
}

// due reports whether it is time for a look, and forgets what was seen for another setting.
func (m *mirrors) due(of *config.Snapshot) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !reflect.DeepEqual(m.of, of) {
		m.of, m.name, m.why, m.asked = of, "", nil, time.Time{}
	}
	return of != nil && time.Since(m.asked) >= snapshotsEvery
}

// seen takes in what came of a look, and returns what that changed: why there are no mirrors
// any more, or that there are mirrors again.
func (m *mirrors) seen(name string, err error) (lost error, again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.why
	m.asked = time.Now()
	switch {
	case err == nil:
		m.name, m.why, m.at = name, nil, m.asked
		return nil, before != nil
	case !errors.Is(err, kjob.ErrNoSnapshot) && m.name != "" && m.asked.Sub(m.at) < snapshotKept:
		return nil, false // it was there a moment ago
	}
	m.name, m.why = "", fmt.Errorf("%w: %w", errNoMirrors, err)
	if before == nil || errors.Is(err, kjob.ErrNoSnapshot) && isNews(m.why, before) {
		return m.why, false
	}
	return nil, false
}

// lookForMirrors looks for the newest snapshot of the queue's git mirrors, where it has such
// and the last look is old. The poll calls it before it takes jobs: one request serves them
// all, and the creates, which all queues share, never wait for it.
func (q *queue) lookForMirrors(ctx context.Context, set *settings) {
	of := set.GitMirrors.Snapshot
	if !q.mirrors.due(of) || q.s.breaker.Wait() > 0 {
		return
	}
	cctx, cancel := context.WithTimeout(ctx, snapshotsWithin)
	defer cancel()
	sent := time.Now()
	name, err := kjob.NewestSnapshot(cctx, q.s.kube, q.store.Namespace, *of)
	switch b := &q.s.breaker; {
	case ctx.Err() != nil:
		return
	case errors.Is(err, kjob.ErrNoSnapshot), kube.Answered(err):
		b.Answered(sent)
	case b.Away() > 0: // alone it doesn't open it: creates may go well
		b.Unanswered(sent)
	}
	lost, again := q.mirrors.seen(name, err)
	switch {
	case lost != nil:
		q.log.Warn("jobs are run without git mirrors", "err", err, "retry_in", snapshotsEvery.String())
		q.s.events.Event(q.store.Namespace, "onejob-queue-"+q.label, "", true, "MirrorsMissing", "queue "+q.name+": "+lost.Error(), decide.Decision{})
	case again:
		q.log.Info("jobs have git mirrors again", "snapshot", name)
	}
}
