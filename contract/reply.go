package contract

import (
	"bytes"
	"encoding/json"
	"errors"
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

// The ways in which a 2xx isn't Buildkite's own.
var (
	errWebPage = errors.New("the reply is a web page, not from Buildkite; check proxies in between")
	ErrNotJSON = errors.New("the reply is no JSON object, so not from Buildkite; check proxies in between")
)

// CheckTaken returns an error if a 2xx with this Content-Type and body comes from something
// on the way. The API answers with a JSON object or, to some calls, with no body at all
// (Bare; docs/protocol.md#transport).
func CheckTaken(contentType string, body []byte) error {
	if Bare(body) { // whatever its type: frameworks give one to a reply without a body, too
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "text/html" { //nolint:errcheck // a broken one is none
		return errWebPage
	}
	// As the API's clients do, only the first value is read.
	var object map[string]json.RawMessage
	if json.NewDecoder(bytes.NewReader(body)).Decode(&object) != nil || object == nil {
		return ErrNotJSON
	}
	return nil
}

// Bare reports whether a reply has no body. A portal's may have none, too: where much hangs
// on the call, the job's state is asked for.
func Bare(body []byte) bool { return len(bytes.TrimSpace(body)) == 0 }
