package simulator

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// reply is a handler's reply. The handler runs under the lock, but body is encoded after it,
// so body must share no memory that changes later.
type reply struct {
	status      int
	body        any
	raw         []byte // instead of body
	contentType string // of raw
	header      map[string]string
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// failure is an error in Buildkite's form: an object with a message.
func failure(status int, message string) *reply {
	return &reply{status: status, body: map[string]any{"message": message}}
}

func (r reply) with(name, value string) reply {
	if r.header == nil {
		r.header = map[string]string{}
	}
	r.header[name] = value
	return r
}

func (r reply) encode() ([]byte, string, error) {
	if r.raw != nil {
		return r.raw, r.contentType, nil
	}
	if r.body == nil {
		return nil, "", nil
	}
	body, err := json.Marshal(r.body)
	return body, "application/json; charset=utf-8", err
}

func writeReply(w http.ResponseWriter, status int, header map[string]string, contentType string, body []byte) error {
	h := w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	for name, value := range header {
		h.Set(name, value)
	}
	if status == 0 {
		status = http.StatusOK
	}
	if status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if status == http.StatusNoContent || len(body) == 0 {
		return nil
	}
	_, err := w.Write(body)
	return err
}
