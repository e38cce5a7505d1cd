package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func aMessage() Message {
	status := -1
	notBefore := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	return Message{
		Contract: Newest, JobID: SampleJobID, Attempt: 2, Agent: "a",
		Outcome: OutcomeLocked, ExitCode: ExitLocked, Reason: "job is still locked",
		ExitStatus: &status, Signal: "SIGTERM", SignalReason: "agent_stop", Received: "SIGTERM",
		NotBefore: &notBefore, Tries: map[string]int{"acquire": 7},
		Phases: []Phase{{Name: "acquire", Start: notBefore, Seconds: 1.5}}, LogChunksFailed: 1,
	}
}

func TestMessageRoundTrip(t *testing.T) {
	want := aMessage()
	got, err := ParseMessage(string(want.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the message changed on its way (-sent +read):\n%s", diff)
	}
}

func TestMessageFits(t *testing.T) {
	many := make([]Phase, 200)
	for _, tt := range []struct {
		name   string
		change func(*Message)
		phases bool
	}{
		{"a long reason", func(m *Message) { m.Reason = strings.Repeat("ä<", 100000) }, true},
		{"control characters", func(m *Message) { m.Reason = strings.Repeat("\x00", 5000) }, true},
		{"not UTF-8", func(m *Message) { m.Reason = strings.Repeat("a\xff", 5000) }, true},
		{"many phases", func(m *Message) { m.Phases = many }, false},
		{"many tries", func(m *Message) {
			for i := range 1000 {
				m.Tries[strings.Repeat("x", 10)+string(rune('a'+i%26))+string(rune('a'+i/26))] = i
			}
		}, false},
		{"an impossible time", func(m *Message) { never := time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC); m.NotBefore = &never }, false},
		{"a hopeless signal", func(m *Message) { m.Signal = strings.Repeat("s", 5000) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := aMessage()
			tt.change(&m)
			b := m.Encode()
			if len(b) > MaxMessage || !utf8.Valid(b) || !json.Valid(b) {
				t.Fatalf("%d bytes of which JSON is %v: %.200s", len(b), json.Valid(b), b)
			}
			got, err := ParseMessage(string(b))
			if err != nil || got.Outcome != m.Outcome || got.ExitCode != m.ExitCode {
				t.Errorf("the outcome is lost: %+v, %v", got, err)
			}
			var sent Message // before ParseMessage makes it printable
			if err := json.Unmarshal(b, &sent); err != nil || tt.phases && (len(sent.Phases) != 1 || len(sent.Reason) < 500) {
				t.Errorf("more than the reason's end was cut: %d phases, %d bytes of reason; %v", len(sent.Phases), len(sent.Reason), err)
			}
		})
	}
}

func TestParseMessageRefuses(t *testing.T) {
	for _, s := range []string{"", "  \n", "panic: oh no", "{}", `{"outcome":"finished"}`, `{"contract":1}`, "\xff", "[1]", `{"contract":"1","outcome":"x"}`} {
		if m, err := ParseMessage(s); !errors.Is(err, ErrNoMessage) {
			t.Errorf("ParseMessage(%q) = %+v, %v; want ErrNoMessage", s, m, err)
		}
	}
	if _, err := ParseMessage(`{"contract":9,"outcome":"from the future","later":{"x":1}}`); err != nil {
		t.Errorf("a newer runner's message is refused: %v", err)
	}
}

// A job can write the message of its own runner.
func TestParseMessageIsPrintable(t *testing.T) {
	const bad, want = `x\u0000\u001b[2J\u202ey\nz`, "x [2J y z"
	text := fmt.Sprintf(`{"contract":1,"outcome":"%[1]s","reason":"%[1]s","job_id":"%[1]s","agent":"%[1]s","signal":"%[1]s","signal_reason":"%[1]s","received":"%[1]s",
		"tries":{"%[1]s":2},"phases":[{"name":"%[1]s"}]}`, bad)
	m, err := ParseMessage(text)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{string(m.Outcome), m.Reason, m.Agent, m.Signal, m.SignalReason, m.Received, m.Phases[0].Name} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if m.JobID != "" {
		t.Errorf("the job ID is %q, and what was read is none", m.JobID)
	}
	if m.Tries[want] != 2 {
		t.Errorf("tries: %v", m.Tries)
	}
}

func TestMessageWriteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termination-log")
	m := aMessage()
	for _, reason := range []string{"why", "why, at length", "why"} { // one over the other
		m.Reason = reason
		if err := m.WriteFile(path); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ParseMessage(string(b)); err != nil || got.Reason != reason {
			t.Errorf("%s: %v", b, err)
		}
	}
}

// The kubelet reads a file's end: what a job has written there doesn't hide it.
func TestMessageWriteFileOverAJobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 3*MaxMessage), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := aMessage().WriteFile(path); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || len(b) > MaxMessage {
		t.Fatalf("%d bytes, %v", len(b), err)
	} else if _, err := ParseMessage(string(b)); err != nil {
		t.Errorf("%s: %v", b, err)
	}
}

func FuzzTerminationMessage(f *testing.F) {
	f.Add(string(aMessage().Encode()), "why")
	f.Add(`{"contract":1,"outcome":"locked","not_before":"2026-01-01T00:00:00Z"}`, "\xff<>&")
	f.Add("null", strings.Repeat("é", 3000))
	f.Fuzz(func(t *testing.T, text, reason string) {
		m, err := ParseMessage(text)
		if err != nil {
			m = aMessage()
		}
		m.Reason = reason
		b := m.Encode()
		if len(b) > MaxMessage {
			t.Fatalf("%d bytes", len(b))
		}
		again, err := ParseMessage(string(b))
		if err != nil {
			t.Fatalf("what Encode wrote can't be read: %v\n%s", err, b)
		}
		if len(m.Outcome) < 64 && utf8.ValidString(string(m.Outcome)) && again.Outcome != m.Outcome {
			t.Errorf("outcome %q became %q", m.Outcome, again.Outcome)
		}
	})
}
