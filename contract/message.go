package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxMessage is the most bytes that a kubelet keeps of a termination message
// (4096; Kubernetes, core/v1 Container.terminationMessagePath).
const MaxMessage = 4096

// Message is the JSON that the runner leaves as its container's termination
// message: what became of the attempt. It holds no secret and fits MaxMessage.
type Message struct {
	// Contract is the Newest of the runner that wrote the message.
	Contract int `json:"contract"`
	// JobID is empty if the job ID was bad.
	JobID JobID `json:"job_id,omitempty"`
	// Attempt is the kjob's number that the pod was given, 0 if none.
	Attempt int `json:"attempt,omitempty"`
	// Agent is the ID of the session at Buildkite, empty before registration.
	Agent string `json:"agent,omitempty"`

	Outcome Outcome `json:"outcome"`
	// ExitCode is what the runner's process leaves with; see Code.
	ExitCode int `json:"exit_code"`
	// Reason is a sentence for people.
	Reason string `json:"reason,omitempty"`

	// ExitStatus is the job's own exit status as it was reported to Buildkite,
	// or, with OutcomeUndelivered, as it should have been; nil when the job came
	// to no result.
	ExitStatus *int `json:"exit_status,omitempty"`
	// Signal and SignalReason are what finish said, in Buildkite's words.
	Signal       string `json:"signal,omitempty"`
	SignalReason string `json:"signal_reason,omitempty"`
	// Received is the signal that the runner was sent, if any ("SIGTERM").
	Received string `json:"received,omitempty"`

	// SessionLost: Buildkite ended the session while the job ran, so that the runner
	// told the job to stop; Reason ends with Buildkite's word.
	SessionLost bool `json:"session_lost,omitempty"`
	// MaybeGranted: the runner ended without the job, but one of its acquire requests
	// got no answer. If Buildkite granted that one, the job ended with the session.
	MaybeGranted bool `json:"maybe_granted,omitempty"`
	// NotBefore is the moment before which Buildkite asked not to be called
	// again (Retry-After); a next attempt waits for it.
	NotBefore *time.Time `json:"not_before,omitempty"`
	// Tries counts the requests that were sent, by call.
	Tries map[string]int `json:"tries,omitempty"`
	// Phases are the phases of the attempt in the order in which they began.
	Phases []Phase `json:"phases,omitempty"`
	// LogChunksFailed counts the log chunks that Buildkite never took.
	LogChunksFailed int `json:"log_chunks_failed,omitempty"`
	// Held is for how many seconds the container stayed after that.
	Held float64 `json:"held_seconds,omitempty"`
	// Traceparent is Buildkite's trace context for the job (W3C Trace Context), empty
	// until it is acquired.
	Traceparent string `json:"traceparent,omitempty"`
	// Use is what the runner's container used, and with it the job, unless the job's
	// commands have containers of their own; nil if nothing of a job ran, or it isn't known.
	Use *Use `json:"use,omitempty"`
}

// Code is the runner's own exit code, one of this package's. ExitCode may be another
// one, if the runner was told to reflect the job's exit status; then the job ran and
// its result was reported.
func (m Message) Code() int {
	if m.Outcome == OutcomeFinished {
		return ExitOK
	}
	return m.ExitCode
}

// Phase is one stretch of an attempt.
type Phase struct {
	Name string `json:"name"`
	// Start is when it began, by the pod's clock, to the millisecond.
	Start time.Time `json:"start"`
	// Seconds is how long it took.
	Seconds float64 `json:"seconds"`
}

// Encode returns the message as JSON of at most MaxMessage bytes. If it is too long,
// the reason is cut first, on a rune boundary, then what was used is left out, then the
// phases, then the tries. The outcome always arrives.
func (m Message) Encode() []byte {
	m.Contract = Newest
	m.Reason = strings.ToValidUTF8(m.Reason, "\uFFFD")
	for {
		b, err := json.Marshal(m)
		if err != nil {
			// Only a NaN or a year beyond 9999 gets here.
			m.Phases, m.NotBefore, m.Use = nil, nil, nil
			m.Reason = shorten(m.Reason, MaxMessage/4)
			continue
		}
		over := len(b) - MaxMessage
		switch {
		case over <= 0:
			return b
		case len(m.Reason) > 64:
			// A byte may take six in JSON (\u003c), so halving is the most
			// that one round cuts; the loop does the rest.
			m.Reason = shorten(m.Reason, max(len(m.Reason)-over, len(m.Reason)/2, 64))
		case m.Use != nil:
			m.Use = nil
		case m.Phases != nil:
			m.Phases = nil
		case m.Tries != nil:
			m.Tries = nil
		default:
			return fmt.Appendf(nil, `{"contract":%d,"outcome":%q,"exit_code":%d}`, Newest, Line(string(m.Outcome), maxWord), m.ExitCode)
		}
	}
}

// ErrNoMessage is returned by ParseMessage for text that is not a Message: a
// pod that was killed leaves none, and the kubelet may put log lines there.
var ErrNoMessage = errors.New("no termination message")

// maxWord is for the message's words: outcomes, signals, names of phases and calls.
const maxWord = 64

// ParseMessage reads what Encode wrote. It ignores unknown fields, so that an older
// scheduler can read a newer runner's message. A job can write the file as well as its
// runner can, so every text of the result is made printable (Line).
func ParseMessage(text string) (Message, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Message{}, ErrNoMessage
	}
	if !utf8.ValidString(text) {
		return Message{}, fmt.Errorf("%w: not UTF-8", ErrNoMessage)
	}
	var m Message
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrNoMessage, err)
	}
	m.clean()
	if m.Outcome == "" || m.Contract <= 0 {
		return Message{}, fmt.Errorf("%w: it has no outcome or no contract version", ErrNoMessage)
	}
	return m, nil
}

// UnmarshalJSON leaves out a bad job ID: the outcome counts nevertheless.
func (m *Message) UnmarshalJSON(b []byte) error {
	type plain Message
	in := struct {
		*plain
		JobID string `json:"job_id"`
	}{plain: (*plain)(m)}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	m.JobID, _ = ParseJobID(in.JobID) // the error is what JobID says by being empty
	return nil
}

func (m *Message) clean() {
	m.Outcome = Outcome(Line(string(m.Outcome), maxWord))
	for _, word := range []*string{&m.Agent, &m.Signal, &m.SignalReason, &m.Received} {
		*word = Line(*word, maxWord)
	}
	m.Reason, m.Traceparent = Line(m.Reason, MaxSentence), Traceparent(m.Traceparent)
	for i := range m.Phases {
		m.Phases[i].Name = Line(m.Phases[i].Name, maxWord)
	}
	tries := m.Tries
	m.Tries = nil
	for call, n := range tries {
		if m.Tries == nil {
			m.Tries = map[string]int{}
		}
		m.Tries[Line(call, maxWord)] += n
	}
}

// WriteFile writes the message to path over what is there, in one write and without
// truncating it first, so that a kill at any point leaves a message. The kubelet
// creates the file beforehand; elsewhere it is created here.
func (m Message) WriteFile(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644) //nolint:gosec // the kubelet and people read it
	if err != nil {
		return err
	}
	b := m.Encode()
	was := int64(0)
	if info, err := f.Stat(); err == nil {
		was = info.Size()
	}
	if was <= MaxMessage {
		b = append(b, bytes.Repeat([]byte(" "), max(0, int(was)-len(b)))...)
	}
	_, err = f.Write(b)
	if was > MaxMessage { // a job's: the kubelet reads a file's end
		err = errors.Join(err, f.Truncate(int64(len(b))))
	}
	return errors.Join(err, f.Close())
}
