package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestGitMirrors(t *testing.T) {
	for text, want := range map[string]string{
		"{}": "",
		"{snapshot: {labels: {app: mirrors}, size: 20Gi}}":                           "",
		"{snapshot: {labels: {app: mirrors}, storage-class: fast.ssd, size: 1500M}}": "",
		"{snapshot: {size: 20Gi}}":                                                   "queues[0] (a): git-mirrors.snapshot.labels: none given: write the labels of the VolumeSnapshots",
		"{snapshot: {labels: {}, size: 20Gi}}":                                       "git-mirrors.snapshot.labels: none given",
		"{snapshot: {labels: {app: mirrors}}}":                                       "git-mirrors.snapshot.size: none given: write how large each job's volume is, such as 20Gi",
		"{snapshot: {labels: {app: mirrors}, size: -1Gi}}":                           "git-mirrors.snapshot.size: none given",
		"{snapshot: {labels: {app: mirrors}, size: large}}":                          "quantities must match",
		"{snapshot: {labels: {app: a/b}, size: 1Gi}}":                                "git-mirrors.snapshot.labels: app=a/b: a valid label must be",
		"{snapshot: {labels: {a/b/c: d}, size: 1Gi}}":                                "git-mirrors.snapshot.labels: a/b/c=d: a valid label key must consist",
		"{snapshot: {labels: {app: mirrors}, size: 1Gi, storage-class: A_B}}":        `git-mirrors.snapshot.storage-class: "A_B" is no name of a StorageClass`,
		"{snapshot: {selector: {app: mirrors}}}":                                     `unknown field "queues[0].git-mirrors.snapshot.selector"`,
	} {
		parse := func() (*Config, error) {
			return Parse([]byte("queues: [{name: a, git-mirrors: "+text+"}]"), "ci")
		}
		c, err := parse()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", text, err, want)
		}
		// A configuration that is read again and says the same must be equal: else it is applied anew.
		if again, _ := parse(); !reflect.DeepEqual(c, again) {
			t.Errorf("%s: read twice, it differs", text)
		}
	}
}
