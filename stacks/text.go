package stacks

// Limits of what people see on Buildkite's pages, in bytes: of a finish
// (docs/protocol.md#stack-finish) and of a notification
// (docs/protocol.md#notifications). What leaves for there is a contract.Line.
const (
	MaxDetail       = 4096
	MaxNotification = 256
)
