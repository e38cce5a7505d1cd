package config

import (
	"strings"
	"testing"
)

// One stack may serve several queues of a cluster: queues with the same token.
func TestOneStackForSeveralQueues(t *testing.T) {
	if _, err := Parse([]byte("queues: [{name: a, stack: s}, {name: b, stack: s}]"), "builds"); err != nil {
		t.Error(err)
	}
	if _, err := Parse([]byte("queues: [{name: a, stack: s}, {name: b, stack: s, token-file: /other}]"), "builds"); err == nil || !strings.Contains(err.Error(), "another token-file") {
		t.Errorf("%v, want that it is another cluster's", err)
	}
}
