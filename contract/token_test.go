package contract

import (
	"strings"
	"testing"
)

func TestParseToken(t *testing.T) {
	for text, want := range map[string]string{"bkct_1": "bkct_1", " bkct_1\r\n": "bkct_1"} {
		if got, err := ParseToken(text, "X"); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, words := range map[string]string{"": "X is empty", " \n": "X is empty", "a b": "in X has a space", "a\nb": "in X has a space", "a\x00": "unprintable", "tökn": "unprintable"} {
		if got, err := ParseToken(text, "X"); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %q, %v; want an error that says %q", text, got, err, words)
		}
	}
}
