package contract

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"as it is", "attempt 1: exit code 137 (é漢字 ✓)", "attempt 1: exit code 137 (é漢字 ✓)"},
		{"NUL", "x\x00", "x"},
		{"a terminal's commands", "x\x1b[2J\x1b]52;c;Y3VybA==\ay", "x [2J ]52;c;Y3VybA== y"},
		{"C1", "a\u009b31mb\u0085c\x7fd", "a 31mb c d"},
		{"the direction of writing", "a\u202egpj.exe\u2066b\u200bc\ufeff", "a gpj.exe b c"},
		{"line breaks", "\r\n one\n\n\ttwo\u2028three\u2029 \n", "one two three"},
		{"no UTF-8", "a\xff\xfe\xc3b", "a b"},
		{"a byte that was replaced before", "a\uFFFDb", "a\uFFFDb"},
		{"nothing but that", "\x00\x1b \n", ""},
		{"too long", strings.Repeat("é", 40), strings.Repeat("é", 28) + "…"},
	} {
		if got := Line(tt.in, 60); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestLineIsBounded(t *testing.T) {
	for n := range 12 {
		if got := Line("aé漢字z\xff", n); len(got) > max(n, len("…")) || !utf8.ValidString(got) {
			t.Errorf("Line(…, %d) = %q", n, got)
		}
	}
}

func FuzzLine(f *testing.F) {
	f.Add("x\x00\x1b[2J\u202e\xff", 10)
	f.Add("a …  b", 4)
	f.Fuzz(func(t *testing.T, s string, n int) {
		n = min(max(n, 0), 5000)
		got := Line(s, n)
		switch {
		case !utf8.ValidString(got), strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }):
			t.Errorf("Line(%q) = %q: it is not printable", s, got)
		case len(got) > max(n, len("…")), strings.Contains(got, "  "), got != strings.TrimSpace(got) && len(got) < n-len("…"):
			t.Errorf("Line(%q, %d) = %q, of %d bytes", s, n, got, len(got))
		case n >= len("…") && Line(got, n) != got && !strings.HasSuffix(got, " …"):
			t.Errorf("Line(%q) = %q, and of that %q", s, got, Line(got, n))
		}
	})
}
