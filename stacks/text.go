package stacks

import "github.com/onejob-dev/onejob/contract"

// Limits of what people see on Buildkite's pages, in bytes: of a finish
// (docs/protocol.md#stack-finish) and of a notification
// (docs/protocol.md#notifications).
const (
	MaxDetail       = 4096
	MaxNotification = 256
)

// Cut is contract.Line: what leaves for Buildkite or Kubernetes is printable and
// within its bounds, wherever it came from.
func Cut(s string, n int) string { return contract.Line(s, n) }
