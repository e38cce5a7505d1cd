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

// lastWords says in the job's log, before the finish that closes it, what its people must
// know about its end. The result matters more.
func (t *transport) lastWords(exitStatus, signalReason string) {
	if t.state.startCtx.Err() != nil {
		return // its time is short
	}
	r := t.state.snapshot()
	text := ended(r) + t.missingLFS() + t.stays(exitStatus, signalReason)
	if text == "" {
		return
	}
	ctx, cancel := context.WithTimeout(t.state.chunksCtx, tellsWithin)
	defer cancel()
	if _, err := t.client.UploadChunk(ctx, t.job.ID, &api.Chunk{Data: []byte(text), Sequence: r.LogSequence, Offset: r.LogEnd, Size: uint64(len(text))}); err != nil {
		t.log.Warn("couldn't write the last words into the job's log", "text", text, "err", err)
	}
}

// ended is why the runner stopped the job, as far as Buildkite still takes that.
func ended(r launcher.Report) string {
	if !r.EndedWhileItRan() {
		return ""
	}
	return "+++ onejob: the job was stopped\n" + launcher.EndedWhileItRan + ".\n"
}

// stays is that the container stays, and how to look into it.
func (t *transport) stays(exitStatus, signalReason string) string {
	d := t.hold.For(exitStatus, signalReason)
	id, err := contract.ParseJobID(t.job.ID)
	if d <= 0 || err != nil {
		return ""
	}
	return t.hold.Text(d, id)
}
