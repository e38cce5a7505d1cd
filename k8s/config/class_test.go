package config

import (
	"slices"
	"strings"
	"testing"
)

func TestClasses(t *testing.T) {
	c, err := Parse([]byte("queues: [{name: a, tags: [os=linux, resource_class=small], resource-classes: {small: {nodeSelector: {a: b}}, large: {}}, default-resource-class-name: small}]"), "x")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"os=linux", "resource_class=small", "resource_class=large"}; !slices.Equal(c.Queues[0].Tags, want) {
		t.Errorf("got the tags %v, want %v", c.Queues[0].Tags, want)
	}
	_, err = Parse([]byte("queues: [{name: a, resource-classes: {'a b': {}, 'a,b': {}, '*': {}, '': {}, ok: {limit: {}}}, default-resource-class-name: none}]"), "x")
	for _, want := range []string{`"a b" can't be asked for`, `"a,b" can't be asked for`, `"*" can't be asked for`, `"" can't be asked for`, "limit", `default-resource-class-name: "none" is not one of resource-classes`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s in it", err, want)
		}
	}
	for rules, want := range map[string]string{"queue=a": "", "resource_class=big": "big", " resource_class = big ": "big", "resource_class=*": "", "resource_class=": "", "resource_classes=x": ""} {
		if got := ClassName([]string{rules}); got != want {
			t.Errorf("%q: got %q, want %q", rules, got, want)
		}
	}
}
