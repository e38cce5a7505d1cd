package contract

import (
	"mime"
	"net/http"
)

// OwnReply reports whether a 4xx is Buildkite's own word, given its status, its
// Content-Type and the message in its JSON, "" if it has none. Each error of the
// API is JSON with a message (docs/protocol.md#transport).
// Anything else comes from what is on the way: a captive portal, a proxy, a
// balancer. It says nothing about a token, a session or a job. Neither do 407, 408
// and 425, whoever words them: a proxy wants a password, the request took too long
// on the way, or came too early.
func OwnReply(status int, contentType, message string) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusTooEarly:
		return false
	}
	kind, _, _ := mime.ParseMediaType(contentType) //nolint:errcheck // a broken one is none
	return kind == "application/json" || message != ""
}
