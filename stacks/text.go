package stacks

import "strings"

// Limits of what people see on Buildkite's pages, in bytes: of a finish
// (docs/protocol.md#stack-finish) and of a notification
// (docs/protocol.md#notifications).
const (
	MaxDetail       = 4096
	MaxNotification = 256
)

// Cut makes s valid UTF-8 of at most n bytes, cut on a rune boundary, with an
// ellipsis where something is missing.
func Cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= n {
		return s
	}
	const ellipsis = "…"
	n = max(n-len(ellipsis), 0)
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + ellipsis
}
