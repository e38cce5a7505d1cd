package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/onejob-dev/onejob/stacks"
)

func TestOwn(t *testing.T) {
	const text = "queues: [{name: a}, {name: b, stack: mine}, {name: "
	long := strings.Repeat("q", 73)
	keysOf := func(t *testing.T, text, uid string) (keys []string, derived bool) {
		c, err := Parse([]byte(text), "builds")
		if err != nil {
			t.Fatal(err)
		}
		c.Own("builds.onejob", "another")
		c.Own("builds.onejob", uid)
		for _, q := range c.Queues {
			keys = append(keys, q.Stack)
			if _, err := stacks.New(stacks.Config{Stack: q.Stack, Token: stacks.Token("x")}); err != nil {
				t.Error(err)
			}
			if q.Installation != "builds.onejob" {
				t.Errorf("queue %s is of installation %q", q.Name, q.Installation)
			}
		}
		return keys, c.Derived()
	}
	derived := text + long + "}]"
	for _, tt := range []struct {
		name, text, uid string
		want            []string
		derived         bool
	}{
		{"one", derived, "uid-1", []string{"onejob-4a49acf8-a", "mine", "onejob-7698bb589705b47d983b218c6ae75bce"}, true},
		{"another", derived, "uid-2", []string{"onejob-afaec2d5-a", "mine", "onejob-cc27c01bf5a3774098661187fdc821bf"}, true},
		{"not known", derived, "", []string{"onejob-a", "mine", "onejob-" + long}, true},
		{"named by the file", "stack: x\n" + derived, "uid-1", []string{"x-a", "mine", "x-" + long}, false},
		{"named as the default is", "stack: onejob\nqueues: [{name: a}]", "uid-1", []string{"onejob-a"}, false},
		{"named for each queue", "queues: [{name: a, stack: a}]", "uid-1", []string{"a"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, derived := keysOf(t, tt.text, tt.uid)
			if !slices.Equal(got, tt.want) || derived != tt.derived {
				t.Errorf("keys %q, derived %t; want %q, %t", got, derived, tt.want, tt.derived)
			}
		})
	}
}
