package jobrun

import (
	"context"
	"time"

	"github.com/buildkite/agent/v3/api"

	"github.com/onejob-dev/onejob/contract"
	"github.com/onejob-dev/onejob/launcher"
)

// tellsWithin bounds how long a result waits for a text.
const tellsWithin = 10 * time.Second

// tellHold says in the job's log that its container stays and how to look into it, before
// the finish that closes the log. The result matters more.
func (t *transport) tellHold(exitStatus, signalReason string) {
	d := t.hold.For(exitStatus, signalReason)
	id, err := contract.ParseJobID(t.job.ID)
	if d <= 0 || t.state.startCtx.Err() != nil || err != nil {
		return
	}
	t.tell(t.hold.Text(d, id))
}

// tellEnded says in the job's log why the runner stopped the job, as far as Buildkite still
// takes that.
func (t *transport) tellEnded() {
	if t.state.snapshot().EndedWhileItRan() {
		t.tell("+++ onejob: the job was stopped\n" + launcher.EndedWhileItRan + ".\n")
	}
}

// tell adds a text to the job's log.
func (t *transport) tell(text string) {
	r := t.state.snapshot()
	ctx, cancel := context.WithTimeout(t.state.chunksCtx, tellsWithin)
	defer cancel()
	if _, err := t.client.UploadChunk(ctx, t.job.ID, &api.Chunk{Data: []byte(text), Sequence: r.LogSequence, Offset: r.LogEnd, Size: uint64(len(text))}); err != nil {
		t.log.Warn("couldn't write a text of onejob's into the job's log", "err", err)
	}
}
