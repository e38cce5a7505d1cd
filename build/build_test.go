package build

import "testing"

func TestImageTag(t *testing.T) {
	for version, want := range map[string]string{
		"v1.2.3": "v1.2.3", "v1.2.3-rc.1": "v1.2.3-rc.1", "v1": "v1", "dev": "dev",
		"": "latest", "devel": "latest", "6e7b7d6": "latest", "v1.2.3-4-g6e7b7d6": "latest", "v1.2.3-dirty": "latest", "6e7b7d6-dirty": "latest", "v1.2.3+x": "latest",
	} {
		if got := imageTag(version); got != want {
			t.Errorf("imageTag(%q) = %q, want %q", version, got, want)
		}
	}
}
