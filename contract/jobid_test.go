package contract

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseJobID(t *testing.T) {
	const id = "018f0000-0000-7000-8000-00000000000a" // SampleJobID, untyped
	for _, tt := range []struct{ name, in, says string }{
		{"canonical", id, ""},
		{"upper case", strings.ToUpper(id), ""},
		{"white space", " " + id + "\n", ""},
		{"empty", "", "no job ID given"},
		{"blank", " \t", "no job ID given"},
		{"short", id[1:], "35 characters"},
		{"long", id + "0", "37 characters"},
		{"a URL", "https://buildkite.com/acme/demo/builds/1#" + id, "characters"},
		{"no dash", strings.Replace(id, "-", "0", 1), "character 9"},
		{"not hexadecimal", "g" + id[1:], "character 1"},
		{"a multibyte rune", "é" + id[2:], "character 1"},
		{"very long", strings.Repeat("é", 1000), "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseJobID(tt.in)
			if tt.says == "" && (err != nil || got != id) {
				t.Errorf("ParseJobID(%q) = %q, %v; want %q", tt.in, got, err, id)
			}
			if tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Errorf("ParseJobID(%q) = %q, %v; want an error that says %q", tt.in, got, err, tt.says)
			}
		})
	}
}

// A job ID parses itself wherever JSON or YAML brings one in, as a value and as a key.
func TestJobIDParsesItself(t *testing.T) {
	upper := strings.ToUpper(string(SampleJobID))
	var value struct{ ID JobID }
	if err := json.Unmarshal([]byte(`{"ID":"`+upper+`"}`), &value); err != nil || value.ID != SampleJobID {
		t.Errorf("a value: %q, %v", value.ID, err)
	}
	var key map[JobID]int
	if err := json.Unmarshal([]byte(`{"`+upper+`":1}`), &key); err != nil || key[SampleJobID] != 1 {
		t.Errorf("a key: %v, %v", key, err)
	}
	for _, bad := range []string{`{"ID":"../nonsense"}`, `{"ID":""}`, `{"ID":7}`} {
		if err := json.Unmarshal([]byte(bad), &value); err == nil {
			t.Errorf("%s passes for a job ID", bad)
		}
	}
}

func FuzzParseJobID(f *testing.F) {
	f.Add(string(SampleJobID))
	f.Add("------------------------------------")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseJobID(s)
		if err != nil {
			return
		}
		if again, err := ParseJobID(id.String()); err != nil || again != id {
			t.Errorf("%q is canonical, and yet %q, %v", id, again, err)
		}
		if len(id) != 36 || strings.Trim(string(id), "0123456789abcdef-") != "" {
			t.Errorf("%q passes for a job ID", id)
		}
	})
}
