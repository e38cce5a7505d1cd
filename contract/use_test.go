package contract

import (
	"encoding/json"
	"strings"
	"testing"
)

// A job can write what it likes: whatever can't be true, or can't be read, isn't known.
func TestParseUse(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       Use
		ok         bool
	}{
		{"good", `{"contract":1,"use":{"memory_peak":5,"cpu_seconds":1.5}}`, Use{MemoryPeak: 5, CPUSeconds: 1.5}, true},
		{"of a newer release", `{"contract":1,"use":{"memory_peak":5,"disk":7},"more":{}}`, Use{MemoryPeak: 5}, true},
		{"padded", ` {"contract":1,"use":{"memory_peak":5}}  `, Use{MemoryPeak: 5}, true},
		{"out of bounds", `{"contract":1,"use":{"memory_peak":-5,"memory_limit":9000000000000000000,"oom_kills":9000000000000,"cpu_seconds":1e300,"cpu_limit":-1}}`,
			Use{}, false},
		{"one out of bounds", `{"contract":1,"use":{"memory_peak":5,"cpu_seconds":1e300,"disk_bytes":9000000000000000000}}`, Use{MemoryPeak: 5}, true},
		{"a limit of nothing", `{"contract":1,"use":{"memory_peak":5,"cpu_limit":1e-300,"throttled_seconds":-0.0}}`, Use{MemoryPeak: 5}, true},
		{"empty", ``, Use{}, false},
		{"empty use", `{"contract":1,"use":{}}`, Use{}, false},
		{"no use", `{"contract":1}`, Use{}, false},
		{"no contract", `{"use":{"memory_peak":5}}`, Use{}, false},
		{"a log", `make: *** [all] Error 1`, Use{}, false},
		{"more than one", `{"contract":1,"use":{"memory_peak":5}}{}`, Use{}, false},
		{"not numbers", `{"contract":1,"use":{"memory_peak":"5"}}`, Use{}, false},
		{"too large a number", `{"contract":1,"use":{"cpu_seconds":1e999}}`, Use{}, false},
		{"too long", `{"contract":1,"use":{"memory_peak":5}}` + strings.Repeat(" ", MaxMessage), Use{}, false},
		{"a runner's", string(Message{Outcome: OutcomeFinished}.Encode()), Use{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := ParseUse(tt.text); got != tt.want || ok != tt.ok {
				t.Errorf("got %+v, %v, want %+v, %v", got, ok, tt.want, tt.ok)
			}
		})
	}
}

// The outcome arrives, whatever stands in its use.
func TestMessageWithUse(t *testing.T) {
	m := Message{Outcome: OutcomeFinished, Use: &Use{MemoryPeak: 5, ThrottledSeconds: 1.25}}
	got, err := ParseMessage(string(m.Encode()))
	if err != nil || got.Use == nil || *got.Use != *m.Use {
		t.Errorf("read back as %+v, %v", got.Use, err)
	}
	for _, use := range []string{`"x"`, `[]`, `{"memory_peak":1.5}`, `{"cpu_seconds":1e999}`} {
		if got, err := ParseMessage(`{"contract":1,"outcome":"finished","use":` + use + `}`); err != nil || got.Outcome != OutcomeFinished || *got.Use != (Use{}) {
			t.Errorf("use %s: %+v, %v", use, got, err)
		}
	}
	m.Reason = strings.Repeat("<", MaxMessage)
	m.Phases = make([]Phase, 30)
	b := m.Encode()
	if got, err := ParseMessage(string(b)); err != nil || len(b) > MaxMessage || got.Use == nil || got.Phases == nil {
		t.Errorf("%d bytes, %+v, %v: the reason goes first", len(b), got, err)
	}
	m.Phases = make([]Phase, 75)
	if got, err := ParseMessage(string(m.Encode())); err != nil || got.Use != nil {
		t.Errorf("%+v, %v: what was used goes next", got.Use, err)
	}
}

func FuzzParseUse(f *testing.F) {
	f.Add(`{"contract":1,"use":{"memory_peak":5,"cpu_seconds":1.5}}`)
	f.Add(`{"contract":1,"use":[]}`)
	f.Fuzz(func(t *testing.T, text string) {
		u, ok := ParseUse(text)
		if !ok {
			return
		}
		b, err := json.Marshal(UseMessage{Contract: Version, Use: &u})
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := ParseUse(string(b)); again != u {
			t.Errorf("%+v was read back as %+v", u, again)
		}
	})
}
