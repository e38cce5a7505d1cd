package stacks

import (
	"slices"
	"testing"
)

// A rule without a value after its =, and one with *, asks for any value of its key; a job
// without a queue rule is of the default queue, whose list it is in.
func TestMissing(t *testing.T) {
	tags := []string{"os=linux", "gpu=a100", "gpu=t4", "zone=*", "empty="}
	for _, tt := range []struct {
		name        string
		rules, want []string
	}{
		{"no rules", nil, nil},
		{"the queue alone", []string{"queue=default"}, nil},
		{"without the queue", []string{"os=linux"}, nil},
		{"one of two values", []string{"queue=default", "gpu=t4"}, nil},
		{"star", []string{"gpu=*"}, nil},
		{"no value", []string{"gpu="}, nil},
		{"a key alone is no rule for any value", []string{"gpu"}, []string{"gpu"}},
		{"any value, the empty one too", []string{"empty="}, nil},
		{"spaces", []string{" os = linux "}, nil},
		{"a tag of every value", []string{"zone=eu"}, nil},
		{"another value", []string{"os=plan9"}, []string{"os=plan9"}},
		{"a key that isn't there", []string{"os=linux", "arch=", "resource_class=large"}, []string{"arch=", "resource_class=large"}},
	} {
		if got := Missing(tt.rules, tags); !slices.Equal(got, tt.want) || Match(tt.rules, tags) != (len(tt.want) == 0) {
			t.Errorf("%s: %q are missing, match %t; want %q", tt.name, got, Match(tt.rules, tags), tt.want)
		}
	}
}
