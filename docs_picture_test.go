package onejob_test

import (
	"bytes"
	"image/png"
	"strings"
	"testing"
)

// The README's first screen shows the status page, by a picture that is sharp and quickly there.
// `make screenshot` makes it again.
func TestPicture(t *testing.T) {
	if before, _, shown := strings.Cut(read(t, "README.md"), "](docs/status.png)"); !shown || strings.Count(before, "\n") > 25 {
		t.Error("README.md doesn't show docs/status.png on its first screen")
	}
	b := read(t, "docs/status.png")
	if len(b) > 150_000 {
		t.Errorf("docs/status.png has %d bytes", len(b))
	}
	shape, err := png.DecodeConfig(bytes.NewReader([]byte(b)))
	if err != nil || shape.Width < 1800 {
		t.Errorf("docs/status.png is %d pixels wide: %v", shape.Width, err)
	}
}
