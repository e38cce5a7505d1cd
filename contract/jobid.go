package contract

import (
	"fmt"
	"strings"
)

// JobID is the UUID of a Buildkite job, in its canonical form: 36 lower-case
// characters. ParseJobID makes one; JSON and YAML parse it in the same way. Nothing
// else in onejob takes a job ID as a plain string.
type JobID string

// SampleJobID is the made-up job of tests, examples and help.
const SampleJobID JobID = "018f0000-0000-7000-8000-00000000000a"

// ParseJobID reads a job's UUID, with surrounding white space and in any case, and
// returns it in canonical form. The error says what is wrong and where to find a job
// ID.
func ParseJobID(s string) (JobID, error) {
	id := strings.ToLower(strings.TrimSpace(s))
	if id == "" {
		return "", fmt.Errorf("no job ID given: it is the UUID after # in a job's URL")
	}
	if len(id) != 36 {
		return "", fmt.Errorf("job ID %q has %d characters, a UUID has 36: it is what stands after # in a job's URL", shorten(id, 60), len(id))
	}
	for i := range len(id) {
		c := id[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return "", fmt.Errorf("job ID %q is not a UUID: character %d is %q, not a dash", id, i+1, c)
			}
		default:
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
				return "", fmt.Errorf("job ID %q is not a UUID: character %d is %q, not a hexadecimal digit", id, i+1, c)
			}
		}
	}
	return JobID(id), nil
}

// UnmarshalText is ParseJobID.
func (id *JobID) UnmarshalText(text []byte) error {
	parsed, err := ParseJobID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// String returns the UUID.
func (id JobID) String() string { return string(id) }

// shorten cuts s to at most n bytes on a rune boundary, with an ellipsis.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const ellipsis = "…"
	n = max(n-len(ellipsis), 0)
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n] + ellipsis
}
