package reference

import (
	"encoding/json"
	"slices"
	"testing"
)

const page = "docs/configuration.md"

// The schema of onejob.yaml is what its types and their comments say.
func TestSchema(t *testing.T) {
	schema := Schema(Settings(t))
	if !json.Valid([]byte(schema)) {
		t.Fatalf("it is no JSON:\n%s", schema)
	}
	Matches(t, "k8s/config/config.schema.json", schema)
}

// apart are the settings of a queue whose keys have a table of their own.
var apart = []string{"policy", "resource-classes", "step-defaults"}

// So are the tables of settings.
func TestConfigurationPage(t *testing.T) {
	head := []string{"key", "value", "default", ""}
	settings := Settings(t)
	queue := of(t, settings, "queues")
	Block(t, page, "settings", Table(head, Rows(t, page, settings, "", "queues")))
	Block(t, page, "queues", Table(head, Rows(t, page, queue, "", apart...)))
	for _, name := range apart {
		Block(t, page, name, Table(head, Rows(t, page, of(t, queue, name), "")))
	}
}

func of(t *testing.T, settings []Setting, key string) []Setting {
	t.Helper()
	i := slices.IndexFunc(settings, func(s Setting) bool { return s.Key == key })
	if i < 0 || len(settings[i].Of) == 0 {
		t.Fatalf("there is no setting %s with keys", key)
	}
	return settings[i].Of
}

func TestSentence(t *testing.T) {
	for comment, want := range map[string]string{
		"Limit is the most\nof it.\n":             "The most of it.",
		"Limit allows it.\n\nFor developers.\n":   "Allows it.",
		"Limit are those.\nTwo sentences.\n":      "Those. Two sentences.",
		"":                                        "",
		"Éclair is no Limit, but may be shown.\n": "Éclair is no Limit, but may be shown.",
	} {
		if got := sentence("Limit", comment); got != want {
			t.Errorf("%q: got %q, want %q", comment, got, want)
		}
	}
}

func TestLinked(t *testing.T) {
	got := Linked(t, page, "See docs/monitoring.md#traces, deploy/clusters/README.md and docs/configuration.md#the-policy.")
	if want := "See [Traces](monitoring.md#traces), [Clusters that differ](../deploy/clusters/README.md) and [The policy](#the-policy)."; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
