package contract

import "strings"

// Traceparent is the text if it is a trace context (W3C Trace Context, version 00), else
// empty. It says where a trace goes on, and nothing that must be kept secret.
func Traceparent(text string) string {
	parts := strings.Split(text, "-")
	if len(text) != 55 || len(parts) != 4 || parts[0] != "00" {
		return ""
	}
	for i, digits := range []int{2, 32, 16, 2} {
		if len(parts[i]) != digits || strings.Trim(parts[i], "0123456789abcdef") != "" {
			return ""
		}
	}
	return text
}
