package stacks

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/onejob-dev/onejob/contract"
)

// errBare is a 2xx without a body to a call whose reply isn't read. Buildkite may answer so
// (docs/protocol.md#transport), and something in between may, too.
var errBare = errors.New("the reply has no body")

// readTaken decodes a 2xx into out, or only checks it if out is nil.
func readTaken(resp *http.Response, out any) error {
	kind, lr := resp.Header.Get("Content-Type"), &io.LimitedReader{R: resp.Body, N: maxReply}
	if out == nil {
		body, err := io.ReadAll(lr)
		if err == nil {
			err = contract.CheckTaken(kind, body)
		}
		if err == nil && contract.Bare(body) {
			err = errBare
		}
		return err
	}
	if err := contract.CheckTaken(kind, []byte("{}")); err != nil { // its type; the body is decoded as it comes
		return err
	}
	r := bufio.NewReader(lr)
	if err := object(r); err != nil {
		return err
	}
	if err := json.NewDecoder(r).Decode(out); err != nil {
		if lr.N <= 0 {
			err = fmt.Errorf("the reply is longer than %d bytes", maxReply)
		}
		return fmt.Errorf("reading the reply: %w", err)
	}
	_, _ = io.Copy(io.Discard, lr) // to the end, or the connection can't be used again
	return nil
}

// object reports whether a JSON object follows: null would be decoded as well.
func object(r *bufio.Reader) error {
	for {
		b, err := r.ReadByte()
		switch {
		case err != nil:
			return fmt.Errorf("reading the reply: %w", err)
		case b == ' ', b == '\t', b == '\r', b == '\n':
		case b == '{':
			return r.UnreadByte()
		default:
			return contract.ErrNotJSON
		}
	}
}

// isOver asks for a job's state, after a finish was answered with nothing.
func (c *Client) isOver(ctx context.Context, id contract.JobID) bool {
	states, err := c.States(ctx, []contract.JobID{id})
	return err == nil && states[id].Over()
}
