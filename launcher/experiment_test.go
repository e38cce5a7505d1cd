package launcher

import (
	"slices"
	"testing"
)

func TestExperiments(t *testing.T) {
	o := Options{Experiment: []string{"normalised-upload-paths", " agent-api", "", "zip-plugins", "zip-plugins"}}
	working, without := o.experiments()
	if !slices.Equal(working, []string{"normalised-upload-paths", "zip-plugins"}) {
		t.Errorf("working: %q", working)
	}
	if !slices.Equal(without, []string{"agent-api"}) {
		t.Errorf("without effect: %q", without)
	}
	if f := o.features(); slices.Contains(f, "experiment-agent-api") || !slices.Contains(f, "experiment-zip-plugins") {
		t.Errorf("features: %q", f)
	}
}
