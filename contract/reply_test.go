package contract

import "testing"

func TestOwnReply(t *testing.T) {
	for _, tt := range []struct {
		name          string
		status        int
		kind, message string
		want          bool
	}{
		{"as Buildkite words it", 422, "application/json; charset=utf-8", "taken", true},
		{"JSON without a message", 404, "application/json", "", true},
		{"JSON that is called a text", 401, "text/plain", "no", true},
		{"a page", 403, "text/html; charset=utf-8", "", false},
		{"a text", 404, "text/plain", "", false},
		{"nothing at all", 404, "", "", false},
		{"a broken header", 404, "application/", "", false},
		{"a proxy wants a password", 407, "application/json", "no", false},
		{"too slow on the way", 408, "application/json", "no", false},
		{"too early", 425, "application/json", "no", false},
	} {
		if got := OwnReply(tt.status, tt.kind, tt.message); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

func TestCheckTaken(t *testing.T) {
	for _, tt := range []struct {
		name, kind, body string
		want             bool
	}{
		{"as Buildkite words it", "application/json; charset=utf-8", `{"a":1}`, true},
		{"without a header", "", "{}", true},
		{"JSON that is called a text", "text/plain", " {}\n", true},
		{"more after it", "application/json", "{}{}", true},
		{"nothing", "", "", true},
		{"nothing, called JSON", "application/json", "\r\n", true},
		{"a page", "text/html; charset=utf-8", "<html>", false},
		{"nothing, with the type that a web framework gives it", "text/html", "", true},
		{"JSON that is called a page", "text/html", "{}", false},
		{"a text", "text/plain", "OK", false},
		{"a text that is called JSON", "application/json", "OK", false},
		{"a text that JSON could be too", "text/plain", "200", false},
		{"a list", "application/json", "[]", false},
		{"null", "application/json", "null", false},
		{"half of an object", "application/json", `{"a":`, false},
	} {
		if err := CheckTaken(tt.kind, []byte(tt.body)); (err == nil) != tt.want {
			t.Errorf("%s: %v, want %t", tt.name, err, tt.want)
		}
	}
}
